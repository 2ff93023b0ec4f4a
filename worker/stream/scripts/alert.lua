-- One step of the alert process: its new state, the events and the acknowledgements, all or nothing.
-- KEYS: alarm hash, alerts, results, settled
-- ARGV: version the state was read at, new state (empty: forget it), seconds that it is kept (0: for good),
--   alerts kept, group, number of results, result id, …,
--   then for each event: number of field/value strings, field, value, …
-- Returns the ids of the events, or false where the state has another version: someone else took a step.
local alarm, alerts, results, settled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local version, state, keep_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
local keep, group, acks = ARGV[4], ARGV[5], tonumber(ARGV[6])

-- Up to where every result was settled: what is pending with the group, or was not read yet, comes behind it.
local function floor()
  local pending = redis.pcall('XPENDING', results, group, '-', '+', 1)
  if pending.err then return nil end -- the group is gone, and with it what it knew
  if pending[1] then
    local ms, counter = string.match(pending[1][1], '^(%d+)-(%d+)$')
    if counter ~= '0' then return ms .. '-' .. string.format('%.0f', counter - 1) end
    return string.format('%.0f', ms - 1) .. '-18446744073709551615'
  end
  return position(results, group)
end

-- Keeps in mind what was settled, so that a group that somebody deleted can be made again where it stood: `floor`, and
-- the few ids behind it, since results are settled in the cameras' order and not in the stream's.
local function remember(first, last)
  local lowest = floor()
  for i = first, last do
    if not lowest or before(lowest, ARGV[i]) then redis.call('HSET', settled, ARGV[i], '') end
  end
  if not lowest then return end
  redis.call('HSET', settled, 'floor', lowest)
  for _, id in ipairs(redis.call('HKEYS', settled)) do
    if id ~= 'floor' and not before(lowest, id) then redis.call('HDEL', settled, id) end
  end
end

if (redis.call('HGET', alarm, 'version') or '0') ~= version then return false end

-- A full Redis must not silence alerts: after an acknowledgement of nothing a script is not stopped, see commit.lua.
redis.call('XACK', results, group, '0-0')

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
if acks > 0 then remember(7, 6 + acks) end
return told
