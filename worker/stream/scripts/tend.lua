-- Brings entry ids back that run far ahead of the clock: any client may name the id of its entry, and after one in the
-- year 3000 all later ones are behind it, after the last possible one there is no later one.
-- KEYS: frames, hold, pictures
-- ARGV: group, ms that ids may be ahead of the server's clock, seconds that publishers are held
-- Returns 'healed', 'held' (publishers wait until the frames with such ids are ended; call again), or false.
-- The ids can go back only while no entry is left, and a deleted stream is the only one that takes a smaller id on every
-- version of Redis. Nobody is pending then, so that nothing is lost with the group. What cameras showed is forgotten:
-- it is in the order of the ids, and a camera's newest picture would be one of the year 3000 for ever.
local frames, hold, pictures, group = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local time = redis.call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000))

local function ahead(id) return id and tonumber(string.match(id, '^%d+')) > tonumber(now) + tonumber(ARGV[2]) end

local delivered = last_delivered(frames, group)
if not delivered then return false end

if redis.call('XLEN', frames) > 0 or redis.call('XPENDING', frames, group)[1] > 0 then
  if not ahead(delivered) then return false end
  redis.call('DEL', hold) -- a full Redis refuses a SET that comes first, and workers are to empty it: see commit.lua
  redis.call('SET', hold, 1, 'EX', ARGV[3])
  return 'held'
end

local stream = by_name(redis.call('XINFO', 'STREAM', frames)) -- short: there is no first and no last entry
if not ahead(stream['last-generated-id']) then return false end
local consumers = redis.call('XINFO', 'CONSUMERS', frames, group)
redis.call('DEL', frames)
redis.call('DEL', hold)
redis.call('DEL', pictures)
redis.call('XGROUP', 'CREATE', frames, group, '0', 'MKSTREAM')
for _, flat in ipairs(consumers) do redis.call('XGROUP', 'CREATECONSUMER', frames, group, by_name(flat).name) end
local added = stream['entries-added'] -- Redis 7: the books need it
if added then
  redis.call('XSETID', frames, now .. '-0', 'ENTRIESADDED', added, 'MAXDELETEDID', '0-0')
else
  redis.call('XSETID', frames, now .. '-0')
end
return 'healed'
