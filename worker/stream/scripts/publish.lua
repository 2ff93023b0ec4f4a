-- Puts one frame on the frames stream, or decides by the policy when the queue is full.
-- KEYS: frames, ledger, cameras, sizes, publisher, hold
-- ARGV: policy, max_frames, max_bytes, group, attempt number, camera, payload bytes, give up (0/1), field, value, …
-- Returns {status, id, evicted}: status accepted | dropped | full | held; full and held change nothing, the publisher
-- waits. A dropped frame has never been in the stream and has no id.
-- Redis asks whether the caller itself may do what a script does: deploy/redis/ grants a camera just this, without
-- what drop-oldest takes. Who is refused is so before the first write.
local frames, ledger, cameras, sizes, publisher, hold = unpack(KEYS, 1, 6)
local policy, max_frames, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local group, attempt, camera, size = ARGV[4], ARGV[5], ARGV[6], whole(ARGV[7])

local wrong = wrong_type({stream = {frames}, hash = {ledger, cameras, sizes, publisher}})
if wrong then return wrong end

-- The answer to an earlier call with this number was lost on its way: give it again.
local last = redis.call('HMGET', publisher, 'attempt', 'status', 'id', 'evicted')
if last[1] == attempt then return {last[2], last[3] or '', whole(last[4])} end

if redis.call('EXISTS', hold) == 1 then return {'held', '', 0} end
if policy == 'drop-oldest' then redis.call('EXISTS', frames) end -- the right to it is asked for now, not once it is full

local function answer(status, id, evicted)
  redis.call('HSET', publisher, 'attempt', attempt, 'status', status, 'id', id, 'evicted', evicted)
  redis.call('EXPIRE', publisher, 86400) -- a cable may be out for a night between a lost answer and the next try
  return {status, id, evicted}
end

local function drop(who, reason)
  local what = 'dropped:' .. reason
  count(ledger, cameras, who, what, what)
end

local function full()
  local waiting = redis.call('XLEN', frames)
  return waiting >= max_frames or (waiting > 0 and whole(redis.call('HGET', ledger, 'backlog_bytes')) + size > max_bytes)
end

local function refuse(reason)
  add(ledger, 'produced', 1)
  drop(camera, reason)
  return ''
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
add(ledger, 'backlog_bytes', size)
add(ledger, 'produced', 1)
return answer('accepted', id, evicted)
