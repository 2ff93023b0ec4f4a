-- Takes the entries of a message off the outbox: delivered, or as dead letters.
-- KEYS: lease, outbox, state, dead
-- ARGV: token, ms, key of the message, reason (empty: delivered), error, dead letters kept, id, …
-- Returns 1, or 0 where the lease is another's and nothing was done.
local lease, outbox, state, dead = unpack(KEYS, 1, 4)
local token, ms, key, reason, why, keep = unpack(ARGV, 1, 6)
if not held(lease, token, ms) then return 0 end

for i = 7, #ARGV do
  local id = ARGV[i]
  local entry = reason ~= '' and redis.call('XRANGE', outbox, id, id)[1]
  if entry then bury_event(outbox, state, dead, keep, entry, reason, why) end
  redis.call('XDEL', outbox, id)
  redis.call('HDEL', state, 'in:' .. id)
end
redis.call('HDEL', state, 'since:' .. key)
return 1
