-- Put before every script that touches dead letters: they are bounded by number and by bytes.
-- `total` is a string key with the bytes of all letters; a purge by hand leaves it too high until the last is gone.

local function length(fields)
  local bytes = 0
  for _, part in ipairs(fields) do bytes = bytes + #part end
  return bytes
end

-- Takes a letter, an entry as XRANGE gives it, off the dead ones.
local function remove_letter(dead, total, letter)
  redis.call('XDEL', dead, letter[1])
  redis.call('SET', total, math.max(0, whole(redis.call('GET', total)) - length(letter[2])))
  if redis.call('XLEN', dead) == 0 then redis.call('DEL', total) end
end

-- Removes the oldest letters until at most so many, with at most so many bytes, are left.
local function trim_letters(dead, total, most, most_bytes)
  while redis.call('XLEN', dead) > most or whole(redis.call('GET', total)) > most_bytes do
    local oldest = redis.call('XRANGE', dead, '-', '+', 'COUNT', 1)[1]
    if not oldest then return redis.call('DEL', total) end
    remove_letter(dead, total, oldest)
  end
end
