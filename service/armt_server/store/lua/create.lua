-- Makes a session, empty or from a log and snapshots staged beforehand.
-- KEYS: 4 staged log, 5... staged snapshots. ARGV: 2 token of this call, 3 time to live in s or '',
-- 4 number of fields, fields and values, then the offsets of the staged snapshots.
if redis.call('HEXISTS', META, 'id') == 1 then
  return {redis.call('HGET', META, 'token') == ARGV[2] and 'ok' or 'exists'}
end
local last = 4 + 2 * ARGV[4]
redis.call('HSET', META, 'token', ARGV[2], 'ttl', ARGV[3], unpack(ARGV, 5, last))
redis.call('HDEL', META, 'deleted')
if KEYS[4] and redis.call('EXISTS', KEYS[4]) == 1 then
  redis.call('RENAME', KEYS[4], LOG)
end
for i = last + 1, #ARGV do
  redis.call('RENAME', KEYS[4 + i - last], snapshot_key(ARGV[i]))
  redis.call('ZADD', SNAPS, ARGV[i], ARGV[i])
end
begin_ttl()
return {'ok'}
