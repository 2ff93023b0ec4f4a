-- One step of the alert process: its new state, the events and the acknowledgements, all or nothing.
-- KEYS: alarm hash, alerts, results
-- ARGV: version the state was read at, new state (empty: forget it), seconds that it is kept (0: for good),
--   alerts kept, group, number of results, result id, …,
--   then for each event: number of field/value strings, field, value, …
-- Returns the ids of the events, or false where the state has another version: someone else took a step.
local alarm, alerts, results = KEYS[1], KEYS[2], KEYS[3]
local version, state, keep_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
local keep, group, acks = ARGV[4], ARGV[5], tonumber(ARGV[6])

if (redis.call('HGET', alarm, 'version') or '0') ~= version then return false end

-- What can fail comes first: a script is not rolled back.
local told, at = {}, 7 + acks
while at <= #ARGV do
  local last = at + tonumber(ARGV[at])
  told[#told + 1] = redis.call('XADD', alerts, 'MAXLEN', '~', keep, '*', unpack(ARGV, at + 1, last))
  at = last + 1
end
if state == '' then
  redis.call('DEL', alarm)
else
  redis.call('HSET', alarm, 'version', version + 1, 'state', state)
  if keep_s > 0 then redis.call('EXPIRE', alarm, keep_s) end
end
for i = 7, 6 + acks do redis.call('XACK', results, group, ARGV[i]) end
return told
