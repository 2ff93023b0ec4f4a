-- Put before every script that ends frames: how a frame leaves the stream and how that is counted.
local MAX_CAMERA_COUNTS = 20000 -- a client that makes names up must not fill the memory

-- Counts under `total` for the line and under `what` for the camera ('?' where its name is not known).
local function count(ledger, cameras, camera, what, total)
  redis.call('HINCRBY', ledger, total, 1)
  local field = camera .. ':' .. what
  if redis.call('HLEN', cameras) >= MAX_CAMERA_COUNTS and redis.call('HEXISTS', cameras, field) == 0 then
    field = '?:' .. what
  end
  redis.call('HINCRBY', cameras, field, 1)
end

local function forget(frames, group, ledger, sizes, id)
  local bytes = redis.call('HGET', sizes, id)
  if bytes then
    redis.call('HDEL', sizes, id)
    redis.call('HINCRBY', ledger, 'backlog_bytes', -tonumber(bytes))
  else -- a foreign client's: this is the first time that anyone of ours counts it
    redis.call('HINCRBY', ledger, 'produced', 1)
  end
  redis.call('XDEL', frames, id)
  if redis.call('XLEN', frames) == 0 then -- heals what entries deleted from outside left behind
    local pending = redis.pcall('XPENDING', frames, group)
    if not pending.err and pending[1] > 0 then return end -- but a deleted one that is pending has its end to come
    redis.call('DEL', sizes)
    redis.call('HSET', ledger, 'backlog_bytes', 0)
  end
end
