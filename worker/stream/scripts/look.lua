-- Whether there are frames to take over; takes nothing.
-- KEYS: frames
-- ARGV: group, idle ms
-- Returns 1 where a frame is pending for longer than that, or is pending with nobody though it was handed out.
local frames, group, idle = KEYS[1], ARGV[1], ARGV[2]
if #redis.call('XPENDING', frames, group, 'IDLE', idle, '-', '+', 1) > 0 then return 1 end
return first_orphan(frames, group) and 1 or 0
