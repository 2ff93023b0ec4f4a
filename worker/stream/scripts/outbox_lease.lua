-- Takes, prolongs or gives back the lease of an outbox: who has it delivers, and nobody else.
-- KEYS: lease, outboxes
-- ARGV: token, ms, 'take' | 'renew' | 'release', sink
-- Returns 1 where the token has the lease now, or had it when it gave it back.
local lease, outboxes = KEYS[1], KEYS[2]
local token, ms, what, sink = unpack(ARGV, 1, 4)

local holder = redis.call('GET', lease)
if holder and holder ~= token or not holder and what ~= 'take' then return 0 end
redis.call('PEXPIRE', lease, ms) -- needs no memory also where there is no lease: what follows is not stopped then
if what == 'release' then
  redis.call('DEL', lease)
elseif what == 'take' then
  redis.call('SET', lease, token, 'PX', ms)
  redis.call('SADD', outboxes, sink)
end
return 1
