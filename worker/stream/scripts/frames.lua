-- Put before every script that ends frames: how a frame leaves the stream and how that is counted.
local MAX_CAMERA_COUNTS = 20000 -- a client that makes names up must not fill the memory

-- An error where a key holds something of another type: asked before the first write, since a script that fails half
-- way is not undone.
local function wrong_type(streams, hashes)
  for kind, keys in pairs({stream = streams, hash = hashes}) do
    for _, key in ipairs(keys) do
      local found = redis.call('TYPE', key).ok
      if found ~= kind and found ~= 'none' then
        return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. found .. ' where a line has a ' .. kind)
      end
    end
  end
end

-- Counts under `total` for the line and under `what` for the camera ('?' where its name is not known).
local function count(ledger, cameras, camera, what, total)
  redis.call('HINCRBY', ledger, total, 1)
  local field = camera .. ':' .. what
  if redis.call('HLEN', cameras) >= MAX_CAMERA_COUNTS and redis.call('HEXISTS', cameras, field) == 0 then
    field = '?:' .. what
  end
  redis.call('HINCRBY', cameras, field, 1)
end

-- Settles the books for a frame that has left the stream.
local function settle(frames, group, ledger, sizes, id)
  local bytes = redis.call('HGET', sizes, id)
  if bytes then
    redis.call('HDEL', sizes, id)
    redis.call('HINCRBY', ledger, 'backlog_bytes', 0 - tonumber(bytes)) -- not -x: of '0' that is '-0', no integer
  else -- a foreign client's: this is the first time that anyone of ours counts it
    redis.call('HINCRBY', ledger, 'produced', 1)
  end
  if redis.call('XLEN', frames) == 0 then -- heals what entries deleted from outside left behind
    local pending = redis.pcall('XPENDING', frames, group)
    if not pending.err and pending[1] > 0 then return end -- but a deleted one that is pending has its end to come
    redis.call('DEL', sizes)
    redis.call('HSET', ledger, 'backlog_bytes', 0)
  end
end

-- The id of the last entry that the group handed out, or nil where there is no such group.
local function last_delivered(frames, group)
  if redis.call('EXISTS', frames) == 0 then return nil end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', frames)) do
    local name, delivered
    for i = 1, #info, 2 do
      if info[i] == 'name' then name = info[i + 1] end
      if info[i] == 'last-delivered-id' then delivered = info[i + 1] end
    end
    if name == group then return delivered end
  end
end

-- The id of the stream's first entry where it was handed out and is pending with nobody, else nil: somebody
-- deleted its consumer with it. Frames end in about the order in which they came, so an orphan soon stands first.
local function first_orphan(frames, group)
  local delivered = last_delivered(frames, group)
  local entry = delivered and redis.call('XRANGE', frames, '-', delivered, 'COUNT', 1)[1]
  if entry and #redis.call('XPENDING', frames, group, entry[1], entry[1], 1) == 0 then return entry[1] end
end
