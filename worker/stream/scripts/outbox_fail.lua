-- Notes that a message was not taken.
-- KEYS: lease, state
-- ARGV: token, ms, key of the message, error
-- Returns how many ms it has failed by now, or -1 where the lease is another's and nothing was done.
local lease, state = KEYS[1], KEYS[2]
local token, ms, key, why = unpack(ARGV, 1, 4)
if not held(lease, token, ms) then return -1 end

local now = now_ms()
local text = string.format('%.0f', now)
redis.call('HSETNX', state, 'since:' .. key, text)
redis.call('HSET', state, 'error', why, 'error_at', text .. '000000')
return now - (tonumber(redis.call('HGET', state, 'since:' .. key)) or now)
