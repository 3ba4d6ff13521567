-- Makes a session, empty or from a log and snapshots staged beforehand.
-- KEYS: 4... staged snapshots, then the staged log if there is one. ARGV: 2 token of this call, 3 time to live in s
-- or '', 4 number of fields, fields and values, then the offsets of the staged snapshots.
if redis.call('HEXISTS', META, 'id') == 1 then
  return {redis.call('HGET', META, 'token') == ARGV[2] and 'ok' or 'exists'}
end
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then return {'unstaged'} end
end
local last = 4 + 2 * ARGV[4]
redis.call('HSET', META, 'token', ARGV[2], 'ttl', ARGV[3], unpack(ARGV, 5, last))
redis.call('HDEL', META, 'deleted')
local snapshots = #ARGV - last
for i = 1, snapshots do
  local offset = ARGV[last + i]
  redis.call('RENAME', KEYS[3 + i], snapshot_key(offset))
  redis.call('ZADD', SNAPS, offset, offset)
end
if KEYS[4 + snapshots] then redis.call('RENAME', KEYS[4 + snapshots], LOG) end
begin_ttl()
return {'ok'}
