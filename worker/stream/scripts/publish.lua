-- Puts frames on the frames stream, in their order, or decides by the policy when the queue is full.
-- KEYS: frames, ledger, cameras, sizes, publisher, hold
-- ARGV: policy, max_frames, max_bytes, group, attempt number, give up (0/1), then for each frame:
--   camera, payload bytes, number of field/value strings, field, value, …; a frame without fields only asks for room
-- Returns one text, 'status id evicted' for each frame that is decided: accepted, or dropped, which has never been in
-- the stream and has '-' for an id. Frames for which there is no room yet are left out, with all after them: the
-- publisher waits, and they are its next attempt. In place of it all: 'held', nobody may publish for now; 'room'.
-- Redis asks whether the caller itself may do what a script does: deploy/redis/ grants a camera just this, without
-- what drop-oldest takes. Who is refused is so before the first write.
local frames, ledger, cameras, sizes, publisher, hold = unpack(KEYS, 1, 6)
local policy, max_frames, max_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local group, attempt, gives_up = ARGV[4], ARGV[5], ARGV[6] == '1'

local wrong = wrong_type({stream = {frames}, hash = {ledger, cameras, sizes, publisher}})
if wrong then return wrong end

-- The answer to an earlier call with this number was lost on its way: give it again.
local last = redis.call('HMGET', publisher, 'attempt', 'answer')
if last[1] == attempt then return last[2] end

if redis.call('EXISTS', hold) == 1 then return 'held' end
if policy == 'drop-oldest' then redis.call('EXISTS', frames) end -- the right to it is asked for now, not once it is full

local waiting, waiting_bytes -- in the queue, with what is not yet in the books
local function look()
  waiting, waiting_bytes = redis.call('XLEN', frames), whole(redis.call('HGET', ledger, 'backlog_bytes'))
end
look()

local answers, unbooked, unbooked_bytes = {}, {}, 0
local function answer(status, id, evicted)
  answers[#answers + 1] = table.concat({status, id, evicted}, ' ')
end

-- Enters what was accepted in the books: once for all frames, and before one of them may be evicted again.
local function book()
  if #unbooked == 0 then return end
  redis.call('HSET', sizes, unpack(unbooked))
  add(ledger, 'backlog_bytes', unbooked_bytes)
  add(ledger, 'produced', #unbooked / 2)
  unbooked, unbooked_bytes = {}, 0
end

local function drop(who, reason)
  local what = 'dropped:' .. reason
  count(ledger, cameras, who, what, what, 1)
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
  settle(frames, group, ledger, sizes, {entry[1]})
  if #who > 64 or string.find(who, '[^%w_.-]') then who = '?' end
  drop(who, 'drop-oldest')
end

-- Evicts until there is room, where the policy says so. Returns how many, and the reason to drop the frame in hand or
-- 'wait' where there is none.
local function make_room(size)
  local evicted = 0
  while waiting >= max_frames or (waiting > 0 and waiting_bytes + size > max_bytes) do
    if policy == 'block' then return evicted, gives_up and 'block-timeout' or 'wait' end
    book()
    local oldest = policy == 'drop-oldest' and oldest_undelivered()
    if not oldest then return evicted, 'drop-newest' end
    evict(oldest)
    evicted = evicted + 1
    look()
  end
  return evicted, nil
end

local at = 7
while at <= #ARGV do
  local camera, size, first = ARGV[at], whole(ARGV[at + 1]), at + 3
  at = first + tonumber(ARGV[at + 2])
  local evicted, reason = make_room(size)
  if reason == 'wait' then break end
  if at == first then return 'room' end
  if reason then
    add(ledger, 'produced', 1)
    drop(camera, reason)
    answer('dropped', '-', evicted)
  else
    -- What stops the first frame is the caller's to hear; at a later one (no id is left, say) those before it are in.
    local put = #answers == 0 and redis.call or redis.pcall
    local id = put('XADD', frames, '*', unpack(ARGV, first, at - 1))
    if id.err then break end
    for i = first, at - 1 do ARGV[i] = false end -- so that Lua need not keep the images of a whole batch
    waiting, waiting_bytes, unbooked_bytes = waiting + 1, waiting_bytes + size, unbooked_bytes + size
    unbooked[#unbooked + 1] = id
    unbooked[#unbooked + 1] = size
    answer('accepted', id, evicted)
  end
end
book()
if #answers == 0 then return '' end

local all = table.concat(answers, ' ')
redis.call('HSET', publisher, 'attempt', attempt, 'answer', all)
redis.call('EXPIRE', publisher, 86400) -- a cable may be out for a night between a lost answer and the next try
return all
