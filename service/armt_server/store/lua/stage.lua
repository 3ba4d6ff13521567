-- Adds a piece to the staged log of a fork; it vanishes by itself if the fork is never finished.
-- KEYS: 4 staged log. ARGV: 2 end offset of the piece, 3 its bytes, 4 ms to keep it.
if #redis.call('XRANGE', KEYS[4], ARGV[2], ARGV[2]) == 0 then
  redis.call('XADD', KEYS[4], ARGV[2], 'data', ARGV[3])
end
redis.call('PEXPIRE', KEYS[4], ARGV[4])
return {'ok'}
