-- Deletes one dead letter for good.
-- KEYS: dead, bytes of the dead
-- ARGV: id of the dead letter
-- Returns 1, or 0 where it was gone already.
local dead, total = KEYS[1], KEYS[2]
local wrong = wrong_type({stream = {dead}, string = {total}})
if wrong then return wrong end

local letter = redis.call('XRANGE', dead, ARGV[1], ARGV[1])[1]
if not letter then return 0 end
remove_letter(dead, total, letter)
return 1
