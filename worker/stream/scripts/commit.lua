-- Ends frames: each gets its result or its dead letter, leaves the stream and is counted, once.
-- KEYS: frames, results, dead, bytes of the dead, ledger, cameras, sizes, then the reply keys
-- ARGV: group, results kept, dead kept, bytes of them kept, reply seconds, then for each frame:
--   id, outcome (result | dead), camera, verdict or reason, index of its reply key or 0,
--   number of field/value strings, field, value, …
-- A frame that is neither pending nor in the stream was ended by another worker: nothing is written for it. Pending
-- alone is not asked: who deletes a consumer or the group takes frames off the pending list that nobody has ended.
-- Works also where Redis is full: the first write (XACK) needs no memory, and after it a script is not stopped. So
-- workers empty a queue that has filled the memory.
-- Returns one number a frame: 1 ended here, 0 not.
local frames, results, dead, dead_bytes, ledger, cameras, sizes = unpack(KEYS, 1, 7)
local group, keep_results, keep_dead, keep_bytes, reply_s = unpack(ARGV, 1, 5)
local MAX_FIELDS = 1000 -- unpack has a limit; an entry with more fields is garbage and loses its tail

-- The reply key is the publisher's to choose: whatever stands there must not keep the frame from its end.
local function reply(index, first, last)
  if index == '0' then return end
  local key = KEYS[7 + tonumber(index)]
  redis.pcall('XADD', key, '*', unpack(ARGV, first, last))
  redis.pcall('EXPIRE', key, reply_s)
end

-- A dead letter keeps the entry as it came, each field behind 'original.', so that it can be replayed. Of one that is
-- larger than all letters together may be, it keeps the number of bytes.
local function bury(entry, first, last)
  local letter = {unpack(ARGV, first, last)}
  local original = entry and entry[2] or {}
  if length(letter) + length(original) > tonumber(keep_bytes) then
    letter[#letter + 1] = 'not_kept'
    letter[#letter + 1] = tostring(length(original))
    original = {}
  end
  for i = 1, math.min(#original, MAX_FIELDS), 2 do
    letter[#letter + 1] = 'original.' .. original[i]
    letter[#letter + 1] = original[i + 1]
  end
  redis.call('XADD', dead, '*', unpack(letter))
  redis.call('SET', dead_bytes, whole(redis.call('GET', dead_bytes)) + length(letter))
  trim_letters(dead, dead_bytes, tonumber(keep_dead), tonumber(keep_bytes))
end

local wrong = wrong_type({stream = {frames, results, dead}, hash = {ledger, cameras, sizes}, string = {dead_bytes}})
if wrong then return wrong end

-- The books are kept once for all frames: 'camera:what' → {camera, what, total, how many}, and the ids of what ended.
local counts, ended = {}, {}
local function note(camera, what, total)
  local name = camera .. ':' .. what
  counts[name] = counts[name] or {camera, what, total, 0}
  counts[name][4] = counts[name][4] + 1
end

local done, at = {}, 6
while at <= #ARGV do
  local id, outcome, camera, what, index = unpack(ARGV, at, at + 4)
  local first, last = at + 6, at + 5 + tonumber(ARGV[at + 5])
  at = last + 1
  local entry = outcome == 'dead' and redis.call('XRANGE', frames, id, id)[1]
  local acknowledged, deleted = redis.call('XACK', frames, group, id), redis.call('XDEL', frames, id)
  local mine = math.max(acknowledged, deleted)
  if mine == 1 then
    if outcome == 'result' then
      redis.call('XADD', results, 'MAXLEN', '~', keep_results, '*', unpack(ARGV, first, last))
      note(camera, 'verdict:' .. what, 'verdict:' .. what)
    else
      bury(entry, first, last)
      note(camera, 'dead:' .. what, 'dead')
    end
    ended[#ended + 1] = id
    reply(index, first, last)
  end
  done[#done + 1] = mine
end
for _, noted in pairs(counts) do count(ledger, cameras, unpack(noted)) end
settle(frames, group, ledger, sizes, ended)
return done
