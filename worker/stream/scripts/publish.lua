-- Puts one frame on the frames stream, or decides by the policy when the queue is full.
-- KEYS: frames, ledger, cameras, sizes, publisher
-- ARGV: policy, max_frames, max_bytes, group, attempt number, camera, payload bytes, give up (0/1), field, value, …
-- Returns {status, id, evicted}: status accepted | dropped | full; full changes nothing, the publisher waits.
local frames, ledger, cameras, sizes, publisher = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local policy, max_frames, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local group, attempt, camera, size = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])

local wrong = wrong_type({frames}, {ledger, cameras, sizes, publisher})
if wrong then return wrong end

-- The answer to an earlier call with this number was lost on its way: give it again.
local last = redis.call('HMGET', publisher, 'attempt', 'status', 'id', 'evicted')
if last[1] == attempt then return {last[2], last[3], tonumber(last[4])} end

local function answer(status, id, evicted)
  redis.call('HSET', publisher, 'attempt', attempt, 'status', status, 'id', id, 'evicted', evicted)
  redis.call('EXPIRE', publisher, 3600)
  return {status, id, evicted}
end

local function drop(who, reason)
  local what = 'dropped:' .. reason
  count(ledger, cameras, who, what, what)
end

local function full()
  local waiting = redis.call('XLEN', frames)
  local bytes = tonumber(redis.call('HGET', ledger, 'backlog_bytes') or 0)
  return waiting >= max_frames or (waiting > 0 and bytes + size > max_bytes)
end

-- A frame that never enters the queue still enters and leaves the stream (without its bytes), so that the
-- server's own count of entries includes it and the books balance.
local function refuse(reason)
  local id = redis.call('XADD', frames, '*', 'dropped', reason)
  redis.call('XDEL', frames, id)
  redis.call('HINCRBY', ledger, 'produced', 1)
  drop(camera, reason)
  return id
end

local function oldest_undelivered()
  local delivered = last_delivered(frames, group)
  return redis.call('XRANGE', frames, delivered and '(' .. delivered or '-', '+', 'COUNT', 1)[1]
end

local function evict(entry)
  local who = '?'
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'camera' then who = entry[2][i + 1] end
  end
  redis.call('XDEL', frames, entry[1])
  settle(frames, group, ledger, sizes, entry[1])
  if #who > 64 or string.find(who, '[^%w_.-]') then who = '?' end
  drop(who, 'drop-oldest')
end

local evicted = 0
while full() do
  if policy == 'block' then
    if ARGV[8] == '1' then return answer('dropped', refuse('block-timeout'), evicted) end
    return {'full', '', 0}
  end
  local oldest = policy == 'drop-oldest' and oldest_undelivered()
  if not oldest then return answer('dropped', refuse('drop-newest'), evicted) end
  evict(oldest)
  evicted = evicted + 1
end

local id = redis.call('XADD', frames, '*', unpack(ARGV, 9))
redis.call('HSET', sizes, id, size)
redis.call('HINCRBY', ledger, 'backlog_bytes', size)
redis.call('HINCRBY', ledger, 'produced', 1)
return answer('accepted', id, evicted)
