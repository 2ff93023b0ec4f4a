-- Put before every script that ends frames: how a frame leaves the stream and how that is counted.
-- What a publisher may write (sizes, counts) is its word and may be anything: it must not stop anybody's script.
local MAX_CAMERA_COUNTS = 20000 -- a client that makes names up must not fill the memory
local MAX_WHOLE = 2 ^ 50 -- beyond it Lua's numbers are no longer exact

-- An error where a key holds something of another type than its kind in `wanted`, {kind = {key, …}}: asked before
-- the first write, since a script that fails half way is not undone.
local function wrong_type(wanted)
  for kind, keys in pairs(wanted) do
    for _, key in ipairs(keys) do
      local found = redis.call('TYPE', key).ok
      if found ~= kind and found ~= 'none' then
        return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. found .. ' where a line has a ' .. kind)
      end
    end
  end
end

-- The text as a whole number of bytes, 0 where it is none.
local function whole(text)
  local number = tonumber(text)
  if number and number >= 0 and number <= MAX_WHOLE then return math.floor(number) end
  return 0
end

-- HINCRBY that stops no script: who may count may also have driven a count to its end.
local function add(hash, field, by)
  local sum = redis.pcall('HINCRBY', hash, field, by)
  if type(sum) == 'table' and not string.find(sum.err, 'overflow') and not string.find(sum.err, 'not an integer') then
    redis.call('HINCRBY', hash, field, by) -- any other error is one
  end
end

-- Counts `n` under `total` for the line and under `what` for the camera ('?' where its name is not known).
local function count(ledger, cameras, camera, what, total, n)
  add(ledger, total, n)
  local field = camera .. ':' .. what
  if redis.call('HLEN', cameras) >= MAX_CAMERA_COUNTS and redis.call('HEXISTS', cameras, field) == 0 then
    field = '?:' .. what
  end
  add(cameras, field, n)
end

-- Settles the books for frames that have left the stream: {id, …}.
local function settle(frames, group, ledger, sizes, ids)
  if #ids == 0 then return end
  local bytes, known = 0, {}
  for _, id in ipairs(ids) do
    local size = redis.call('HGET', sizes, id)
    if size then
      bytes = bytes + whole(size)
      known[#known + 1] = id
    end
  end
  if #known > 0 then
    redis.call('HDEL', sizes, unpack(known))
    add(ledger, 'backlog_bytes', 0 - bytes) -- not -x: of '0' that is '-0', no integer
  end
  if #ids > #known then -- foreign clients': this is the first time that anyone of ours counts them
    add(ledger, 'produced', #ids - #known)
  end
  if redis.call('XLEN', frames) == 0 then -- heals what entries deleted from outside left behind
    local pending = redis.pcall('XPENDING', frames, group)
    if not pending.err and pending[1] > 0 then return end -- but a deleted one that is pending has its end to come
    redis.call('DEL', sizes)
    redis.call('HSET', ledger, 'backlog_bytes', 0)
  end
end

-- Ends a frame that was deleted from outside while it was in work.
local function bury_deleted(frames, group, ledger, cameras, sizes, id)
  redis.call('XACK', frames, group, id)
  count(ledger, cameras, '?', 'dropped:deleted', 'dropped:deleted', 1)
  settle(frames, group, ledger, sizes, {id})
end

-- A flat reply as a table by names.
local function by_name(flat)
  local named = {}
  for i = 1, #flat, 2 do named[flat[i]] = flat[i + 1] end
  return named
end

-- The id of the last entry that the group of a stream that is there handed out, or nil where there is no such group.
local function position(stream, group)
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local info = by_name(flat)
    if info.name == group then return info['last-delivered-id'] end
  end
end

-- The same of a stream that may not be there.
local function last_delivered(frames, group)
  if redis.call('EXISTS', frames) == 0 then return nil end
  return position(frames, group)
end

-- The id of the stream's first entry where it was handed out and is pending with nobody, else nil: somebody
-- deleted its consumer with it. Frames end in about the order in which they came, so an orphan soon stands first.
local function first_orphan(frames, group)
  local delivered = last_delivered(frames, group)
  local entry = delivered and redis.call('XRANGE', frames, '-', delivered, 'COUNT', 1)[1]
  if entry and #redis.call('XPENDING', frames, group, entry[1], entry[1], 1) == 0 then return entry[1] end
end
