-- Puts one dead letter of a sink back on its outbox, behind what waits there, and takes it off the dead ones.
-- KEYS: outbox, dead
-- ARGV: id of the dead letter
-- Returns the new entry's id, or false where there is no such letter.
local outbox, dead = KEYS[1], KEYS[2]
local wrong = wrong_type({stream = {outbox, dead}})
if wrong then return wrong end

local letter = redis.call('XRANGE', dead, ARGV[1], ARGV[1])[1]
if not letter then return false end
local fields, OURS = {}, {reason = true, error = true, dead_at = true}
for i = 1, #letter[2], 2 do
  if not OURS[letter[2][i]] then
    fields[#fields + 1] = letter[2][i]
    fields[#fields + 1] = letter[2][i + 1]
  end
end
local id = redis.call('XADD', outbox, '*', unpack(fields))
redis.call('XDEL', dead, letter[1])
return id
