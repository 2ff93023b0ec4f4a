-- Ends frames: each gets its result or its dead letter, leaves the stream and is counted, once.
-- KEYS: frames, results, dead, ledger, cameras, sizes, then the reply keys
-- ARGV: group, results kept, dead kept, reply seconds, then for each frame:
--   id, outcome (result | dead), camera, verdict or reason, index of its reply key or 0,
--   number of field/value strings, field, value, …
-- A frame that is neither pending nor in the stream was ended by another worker: nothing is written for it. Pending
-- alone is not asked: who deletes a consumer or the group takes frames off the pending list that nobody has ended.
-- Returns one number a frame: 1 ended here, 0 not.
local frames, results, dead, ledger, cameras, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, keep_results, keep_dead, reply_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local MAX_FIELDS = 1000 -- unpack has a limit; an entry with more fields is garbage and loses its tail

-- The reply key is the publisher's to choose: whatever stands there must not keep the frame from its end.
local function reply(index, fields)
  if index == '0' then return end
  local key = KEYS[6 + tonumber(index)]
  redis.pcall('XADD', key, '*', unpack(fields))
  redis.pcall('EXPIRE', key, reply_s)
end

-- A dead letter keeps the entry as it came, each field behind 'original.', so that it can be replayed.
local function bury(entry, fields)
  local letter = {unpack(fields)}
  if entry then
    for i = 1, math.min(#entry[2], MAX_FIELDS), 2 do
      letter[#letter + 1] = 'original.' .. entry[2][i]
      letter[#letter + 1] = entry[2][i + 1]
    end
  end
  redis.call('XADD', dead, 'MAXLEN', '~', keep_dead, '*', unpack(letter))
end

local wrong = wrong_type({frames, results, dead}, {ledger, cameras, sizes})
if wrong then return wrong end

local done, at = {}, 5
while at <= #ARGV do
  local id, outcome, camera, what, index = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local last = at + 5 + tonumber(ARGV[at + 5])
  local fields = {}
  for i = at + 6, last do fields[#fields + 1] = ARGV[i] end
  at = last + 1
  local entry = outcome == 'dead' and redis.call('XRANGE', frames, id, id)[1]
  local acknowledged, deleted = redis.call('XACK', frames, group, id), redis.call('XDEL', frames, id)
  local mine = math.max(acknowledged, deleted)
  if mine == 1 then
    if outcome == 'result' then
      redis.call('XADD', results, 'MAXLEN', '~', keep_results, '*', unpack(fields))
      count(ledger, cameras, camera, 'verdict:' .. what, 'verdict:' .. what)
    else
      bury(entry, fields)
      count(ledger, cameras, camera, 'dead:' .. what, 'dead')
    end
    settle(frames, group, ledger, sizes, id)
    reply(index, fields)
  end
  done[#done + 1] = mine
end
return done
