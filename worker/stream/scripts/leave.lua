-- Removes consumers that have nothing pending: deleting one deletes what is pending with it.
-- KEYS: frames
-- ARGV: group, consumer that leaves ('' for none), idle ms after which others are forgotten
-- An acknowledgement of nothing comes first, so that it works where Redis is full; see join.lua.
local frames, group, leaving, forget_after = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('XACK', frames, group, '0-0')
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', frames, group)) do
  local consumer = {}
  for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
  local gone = consumer.name == leaving or consumer.idle > forget_after
  if gone and consumer.pending == 0 then redis.call('XGROUP', 'DELCONSUMER', frames, group, consumer.name) end
end
