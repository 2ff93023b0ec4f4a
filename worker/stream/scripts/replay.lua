-- Puts one dead letter back on the frames stream and takes it off the dead ones, in one step.
-- KEYS: frames, dead, bytes of the dead, ledger, sizes
-- ARGV: id of the dead letter
-- Returns the new frame's id, or false where there is no such letter; an error where nothing was kept to replay.
local frames, dead, total, ledger, sizes = unpack(KEYS, 1, 5)
local wrong = wrong_type({stream = {frames, dead}, hash = {ledger, sizes}, string = {total}})
if wrong then return wrong end

local letter = redis.call('XRANGE', dead, ARGV[1], ARGV[1])[1]
if not letter then return false end
local fields, size = {}, 0
for i = 1, #letter[2], 2 do
  local name = string.match(letter[2][i], '^original%.(.*)$')
  if name then
    fields[#fields + 1] = name
    fields[#fields + 1] = letter[2][i + 1]
    if name == 'data' then size = #letter[2][i + 1] end
  end
end
if #fields == 0 then return redis.error_reply('NOTHING the dead letter kept no fields to replay') end
local id = redis.call('XADD', frames, '*', unpack(fields))
redis.call('HSET', sizes, id, size)
add(ledger, 'backlog_bytes', size)
add(ledger, 'produced', 1)
remove_letter(dead, total, letter)
return id
