-- Before each try of a message: fixes which entries it is made of, and reads them. Sealed entries go under their key
-- and under no other, whichever process tries.
-- KEYS: lease, outbox, state
-- ARGV: token, ms, key of a group that is taken apart here (or empty), then for each entry: id, key
-- Returns the entries, false in the place of one that is gone, and then nothing was sealed; or false for all where the
-- lease is another's, or what is asked for does not fit what was sealed before.
local lease, outbox, state = KEYS[1], KEYS[2], KEYS[3]
local token, ms, group = ARGV[1], ARGV[2], ARGV[3]
if not held(lease, token, ms) then return false end

local entries, complete = {}, true
for i = 4, #ARGV, 2 do
  local id, key = ARGV[i], ARGV[i + 1]
  local sealed = redis.call('HGET', state, 'in:' .. id)
  if sealed and sealed ~= key and sealed ~= group then return false end
  local entry = redis.call('XRANGE', outbox, id, id)[1]
  entries[#entries + 1] = entry or false
  if not entry then
    complete = false
    redis.call('HDEL', state, 'in:' .. id)
  end
end
if complete then
  for i = 4, #ARGV, 2 do redis.call('HSET', state, 'in:' .. ARGV[i], ARGV[i + 1]) end
  if group ~= '' then redis.call('HDEL', state, 'since:' .. group) end
end
return entries
