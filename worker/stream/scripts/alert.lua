-- One step of the alert process: its new state, the events and the acknowledgements, all or nothing.
-- KEYS: alarm hash, alerts, results
-- ARGV: version the state was read at, new state, alerts kept, group, number of results, result id, …,
--   then for each event: number of field/value strings, field, value, …
-- Returns the ids of the events, or false where the state has another version: someone else took a step.
local alarm, alerts, results = KEYS[1], KEYS[2], KEYS[3]
local version, state, keep, group, acks = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

if (redis.call('HGET', alarm, 'version') or '0') ~= version then return false end

-- What can fail comes first: a script is not rolled back.
local told, at = {}, 6 + acks
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  told[#told + 1] = redis.call('XADD', alerts, 'MAXLEN', '~', keep, '*', unpack(ARGV, at + 1, last))
  at = last + 1
end
redis.call('HSET', alarm, 'version', version + 1, 'state', state)
for i = 6, 5 + acks do redis.call('XACK', results, group, ARGV[i]) end
return told
