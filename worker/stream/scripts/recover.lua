-- Takes over frames that were delivered but not ended, with how often each was delivered.
-- KEYS: frames, ledger, cameras, sizes
-- ARGV: group, consumer, scope (own: what this consumer left | idle: what anyone left, orphans included), idle ms,
--   cursor, count
-- Returns {next cursor, {{id, fields, deliveries}, …}}.
-- Entries deleted from outside are still pending: they are counted as dropped and acknowledged here. Redis 7
-- takes them off the pending list in XAUTOCLAIM itself and 6.2 hands out nil without their id; listing the
-- ids first and claiming each by its id does the same on both.
local frames, ledger, cameras, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, consumer, scope, idle, cursor, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local wrong = wrong_type({stream = {frames}, hash = {ledger, cameras, sizes}})
if wrong then return wrong end

local next_cursor, found = '0-0', {}

local function take(id)
  local entry = redis.call('XRANGE', frames, id, id)[1]
  if not entry then return bury_deleted(frames, group, ledger, cameras, sizes, id) end
  local pending = redis.call('XPENDING', frames, group, id, id, 1)[1]
  local deliveries = (pending and pending[4] or 1) + 1
  redis.call('XCLAIM', frames, group, consumer, 0, id, 'RETRYCOUNT', deliveries, 'FORCE', 'JUSTID')
  found[#found + 1] = {id, entry[2], deliveries}
end

if scope == 'own' then
  repeat -- deleted ones must not hide those behind them
    local left = redis.call('XPENDING', frames, group, '-', '+', most, consumer)
    for _, pending in ipairs(left) do take(pending[1]) end
  until #found > 0 or #left == 0
else
  local reply = redis.call('XAUTOCLAIM', frames, group, consumer, idle, cursor, 'COUNT', most, 'JUSTID')
  local ids = reply[2]
  next_cursor = reply[1]
  for _, id in ipairs(reply[3] or {}) do bury_deleted(frames, group, ledger, cameras, sizes, id) end
  if #ids == 0 then ids = {first_orphan(frames, group)} end
  for _, id in ipairs(ids) do take(id) end
end
return {next_cursor, found}
