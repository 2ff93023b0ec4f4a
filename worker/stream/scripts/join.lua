-- Makes a consumer group where it is missing, and a consumer known in it.
-- KEYS: stream
-- ARGV: group, id from which a new group begins, consumer ('' for none)
-- Making a group takes memory, which a full Redis refuses also where the group is there: then no worker that is started
-- could empty the queue that fills it. So an acknowledgement of nothing comes first; see commit.lua.
local stream, group, begin, consumer = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
redis.call('XACK', stream, group, '0-0')
local made = redis.pcall('XGROUP', 'CREATE', stream, group, begin, 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
if consumer ~= '' then redis.call('XGROUP', 'CREATECONSUMER', stream, group, consumer) end
