-- Put before scripts that put entries in order by their ids.

local function less(a, b) -- of numbers as text: some stream ids are too long for a Lua number
  if #a ~= #b then return #a < #b end
  return a < b
end

local function before(a, b) -- of stream ids
  local a_time, a_count = a:match('^(%d+)-(%d+)$')
  local b_time, b_count = b:match('^(%d+)-(%d+)$')
  if a_time ~= b_time then return less(a_time, b_time) end
  return less(a_count, b_count)
end
