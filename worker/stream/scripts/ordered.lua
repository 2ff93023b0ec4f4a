-- Takes off an order that was carried out.
-- KEYS: orders
-- ARGV: id of the order
-- An empty stream goes too, and with it its last id: one that somebody chose far ahead of the clock would be the last that
-- it takes.
redis.call('XDEL', KEYS[1], ARGV[1])
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[1]) end
return 1
