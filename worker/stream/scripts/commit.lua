-- Ends frames: each gets its result or its dead letter, leaves the stream and is counted, once.
-- KEYS: frames, results, dead, ledger, cameras, sizes, then the reply keys
-- ARGV: group, results kept, dead kept, reply seconds, then for each frame:
--   id, outcome (result | dead), camera, verdict or reason, index of its reply key or 0,
--   number of field/value strings, field, value, …
-- A frame whose XACK returns 0 was ended by another worker: nothing is written for it.
-- Returns one number a frame: 1 ended here, 0 not.
local frames, results, dead, ledger, cameras, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, keep_results, keep_dead, reply_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local MAX_FIELDS = 1000 -- unpack has a limit; an entry with more fields is garbage and loses its tail

local function reply(index, fields)
  if index == '0' then return end
  local key = KEYS[6 + tonumber(index)]
  redis.call('XADD', key, '*', unpack(fields))
  redis.call('EXPIRE', key, reply_s)
end

-- A dead letter keeps the entry as it came, each field behind 'original.', so that it can be replayed.
local function bury(id, fields)
  local entry = redis.call('XRANGE', frames, id, id)[1]
  if entry then
    for i = 1, math.min(#entry[2], MAX_FIELDS), 2 do
      fields[#fields + 1] = 'original.' .. entry[2][i]
      fields[#fields + 1] = entry[2][i + 1]
    end
  end
  redis.call('XADD', dead, 'MAXLEN', '~', keep_dead, '*', unpack(fields))
end

local done, at = {}, 5
while at <= #ARGV do
  local id, outcome, camera, what, index = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local last = at + 5 + tonumber(ARGV[at + 5])
  local fields = {}
  for i = at + 6, last do fields[#fields + 1] = ARGV[i] end
  at = last + 1
  local mine = redis.call('XACK', frames, group, id)
  if mine == 1 then
    if outcome == 'result' then
      redis.call('XADD', results, 'MAXLEN', '~', keep_results, '*', unpack(fields))
      count(ledger, cameras, camera, 'verdict:' .. what, 'verdict:' .. what)
      reply(index, fields)
    else
      reply(index, fields)
      bury(id, fields)
      count(ledger, cameras, camera, 'dead:' .. what, 'dead')
    end
    forget(frames, group, ledger, sizes, id)
  end
  done[#done + 1] = mine
end
return done
