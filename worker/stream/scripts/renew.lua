-- Says that frames are still in work with a consumer, so that nobody takes them over.
-- KEYS: frames, ledger, cameras, sizes
-- ARGV: group, consumer, then the frames' ids
-- From Redis 7 on XCLAIM takes an entry that was deleted from outside off the pending list without a word, and nobody
-- would end it: it is counted here. Before 7 it stays pending and is ended like any other.
local frames, ledger, cameras, sizes, group, consumer = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2]

local wrong = wrong_type({stream = {frames}, hash = {ledger, cameras, sizes}})
if wrong then return wrong end

for i = 3, #ARGV do
  local id = ARGV[i]
  local pending = #redis.call('XPENDING', frames, group, id, id, 1) == 1
  local claimed = pending and #redis.call('XCLAIM', frames, group, consumer, 0, id, 'JUSTID') == 1
  if pending and not claimed then bury_deleted(frames, group, ledger, cameras, sizes, id) end
end
