-- Put before every script that touches an outbox. An outbox is a stream of the events that wait for one sink. Its state
-- is a hash: `in:<entry id>` is the key of the message that the entry is sealed into, `since:<key>` when that message
-- failed first (unix ms), `error` and `error_at` (unix ns) the latest failure, `buried:<reason>` how many became letters.
local MAX_PARTS = 200 -- of the fields and values of an event: unpack has a limit

-- Whether this token holds the lease of the outbox, which is prolonged then. That needs no memory, and after it a script
-- is not stopped where Redis is full, see commit.lua: all that is done to an outbox comes behind this.
local function held(lease, token, ms)
  if redis.call('GET', lease) ~= token then return false end
  redis.call('PEXPIRE', lease, ms)
  return true
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Takes an entry, as XRANGE gives it, off the outbox and puts it on the dead letters.
local function bury_event(outbox, state, dead, keep, entry, reason, why)
  local letter = {unpack(entry[2], 1, math.min(#entry[2], MAX_PARTS))}
  for _, part in ipairs({'reason', reason, 'error', why, 'dead_at', string.format('%.0f', now_ms()) .. '000000'}) do
    letter[#letter + 1] = part
  end
  redis.call('XADD', dead, 'MAXLEN', '~', keep, '*', unpack(letter))
  redis.call('XDEL', outbox, entry[1])
  redis.call('HDEL', state, 'in:' .. entry[1])
  redis.call('HINCRBY', state, 'buried:' .. reason, 1)
end

-- The oldest entry that is in no message: what may be on its way has to stay as it is.
local function oldest_free(outbox, state)
  local start = '-'
  while true do
    local page = redis.call('XRANGE', outbox, start, '+', 'COUNT', 50)
    for _, entry in ipairs(page) do
      if redis.call('HEXISTS', state, 'in:' .. entry[1]) == 0 then return entry end
    end
    if #page < 50 then return nil end
    start = '(' .. page[#page][1]
  end
end

-- Brings an outbox back to at most so many events; in one step not too many of them.
local function overflow(outbox, state, dead, most, keep)
  for _ = 1, 100 do
    if redis.call('XLEN', outbox) <= most then return end
    local oldest = oldest_free(outbox, state)
    if not oldest then return end
    bury_event(outbox, state, dead, keep, oldest, 'overflow', 'more than ' .. most .. ' events waited')
  end
end
