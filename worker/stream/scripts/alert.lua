-- One step of the alert process: its new state, the events and the acknowledgements, all or nothing.
-- KEYS: alarm hash, alerts, results, settled, then for each sink: its outbox, the outbox's state, its dead letters
-- ARGV: version the state was read at, new state (empty: forget it), seconds that it is kept (0: for good),
--   alerts kept (and letters of each sink), group, events that wait for a sink at most, number of results, result id, …,
--   then for each event: 1 where it goes to the sinks, number of field/value strings, field, value, …
-- Returns the ids of the events, or false where the state has another version: someone else took a step.
local alarm, alerts, results, settled = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local version, state, keep_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
local keep, group, most, acks = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

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

-- Puts an event on the outbox of every sink, under the id that it has on the alerts stream.
local function post(id, first, last)
  for i = 5, #KEYS, 3 do
    redis.call('XADD', KEYS[i], '*', 'event', id, unpack(ARGV, first, last))
    overflow(KEYS[i], KEYS[i + 1], KEYS[i + 2], most, keep)
  end
end

local streams, hashes = {alerts}, {}
for i = 5, #KEYS, 3 do
  streams[#streams + 1] = KEYS[i]
  streams[#streams + 1] = KEYS[i + 2]
  hashes[#hashes + 1] = KEYS[i + 1]
end
local wrong = wrong_type({stream = streams, hash = hashes})
if wrong then return wrong end
if (redis.call('HGET', alarm, 'version') or '0') ~= version then return false end

-- A full Redis must not silence alerts: after an acknowledgement of nothing a script is not stopped, see commit.lua.
redis.call('XACK', results, group, '0-0')

-- What can fail comes first: a script is not rolled back.
local told, at = {}, 8 + acks
while at <= #ARGV do
  local first, last = at + 2, at + 1 + tonumber(ARGV[at + 1])
  told[#told + 1] = redis.call('XADD', alerts, 'MAXLEN', '~', keep, '*', unpack(ARGV, first, last))
  if ARGV[at] == '1' then post(told[#told], first, last) end
  at = last + 1
end
if state == '' then
  redis.call('DEL', alarm)
else
  redis.call('HSET', alarm, 'version', version + 1, 'state', state)
  if keep_s > 0 then redis.call('EXPIRE', alarm, keep_s) end
end
for i = 8, 7 + acks do redis.call('XACK', results, group, ARGV[i]) end
if acks > 0 then remember(8, 7 + acks) end
return told
