-- Whether frames show what their cameras showed before: the same picture so many times in a row.
-- KEYS: pictures, a hash of one state a camera
-- ARGV: how many in a row are too many, cameras kept, seconds kept, then for each frame: camera, id, digest
-- Returns one number a frame: 1 frozen, 0 not.
-- A state is 'digest frozen id id …': the picture of the camera's newest frames, the last picture that was frozen ('-'
-- before there was one), and the ids of the frames that showed the newest picture, in order, at most the limit. So a
-- frame that comes twice counts once, and workers may report a camera's frames in any order: which of the copies comes
-- first does not matter, and from the limit on each is frozen.
local pictures = KEYS[1]
local limit, cameras_kept, seconds_kept = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local kind = redis.call('TYPE', pictures).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', pictures) end -- not ours, and our memory is no loss
redis.call('HDEL', pictures, '') -- so that a full Redis, which workers are to empty, does not stop it: see commit.lua

local function load(camera)
  local digest, frozen, rest = (redis.call('HGET', pictures, camera) or ''):match('^(%x+) (%S+) (.+)$')
  local ids = {}
  for id in (rest or ''):gmatch('%d+%-%d+') do ids[#ids + 1] = id end
  if #ids == 0 then return {frozen = '-', ids = ids} end
  return {digest = digest, frozen = frozen, ids = ids}
end

local function save(camera, state)
  local text = table.concat({state.digest, state.frozen, unpack(state.ids)}, ' ')
  local is_new = redis.call('HSET', pictures, camera, text) == 1
  if is_new and redis.call('HLEN', pictures) > cameras_kept then -- somebody makes names up: no place is for good
    redis.call('HDEL', pictures, redis.call('HRANDFIELD', pictures))
  end
end

local function add(ids, id)
  local place = #ids
  while place > 0 and before(id, ids[place]) do place = place - 1 end
  if ids[place] ~= id then table.insert(ids, place + 1, id) end
  if #ids > limit then table.remove(ids, 1) end
end

local function see(camera, id, digest)
  local state, is_frozen = load(camera), false
  local ids = state.ids
  if digest == state.digest then
    add(ids, id)
    is_frozen = #ids >= limit
    if is_frozen then state.frozen = digest end
  elseif state.digest and before(id, ids[#ids]) then -- read earlier, reported later: from before the newest run, or
    while before(ids[1], id) do table.remove(ids, 1) end -- from its middle, and then it begins only after this one
    is_frozen = digest == state.frozen
  else
    state.digest, state.ids = digest, {id}
  end
  save(camera, state)
  return is_frozen and 1 or 0
end

local found = {}
for at = 4, #ARGV, 3 do found[#found + 1] = see(ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
redis.call('EXPIRE', pictures, seconds_kept)
return found
