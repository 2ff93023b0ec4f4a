-- Puts one dead letter back on the frames stream and takes it off the dead ones, in one step.
-- KEYS: frames, dead, ledger, sizes
-- ARGV: id of the dead letter
-- Returns the new frame's id, or false where there is no such letter; an error where nothing was kept to replay.
local frames, dead, ledger, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local wrong = wrong_type({frames, dead}, {ledger, sizes})
if wrong then return wrong end

local entry = redis.call('XRANGE', dead, ARGV[1], ARGV[1])[1]
if not entry then return false end
local fields, size = {}, 0
for i = 1, #entry[2], 2 do
  local name = string.match(entry[2][i], '^original%.(.*)$')
  if name then
    fields[#fields + 1] = name
    fields[#fields + 1] = entry[2][i + 1]
    if name == 'data' then size = #entry[2][i + 1] end
  end
end
if #fields == 0 then return redis.error_reply('NOTHING the dead letter kept no fields to replay') end
local id = redis.call('XADD', frames, '*', unpack(fields))
redis.call('HSET', sizes, id, size)
redis.call('HINCRBY', ledger, 'backlog_bytes', size)
redis.call('HINCRBY', ledger, 'produced', 1)
redis.call('XDEL', dead, ARGV[1])
return id
