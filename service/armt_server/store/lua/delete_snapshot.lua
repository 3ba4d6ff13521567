-- ARGV: 2 offset.
local refusal = gone()
if refusal then return refusal end
redis.call('UNLINK', snapshot_key(ARGV[2]))
redis.call('ZREM', SNAPS, ARGV[2])
redis.call('HSET', META, 'snapshot_offset', redis.call('ZREVRANGE', SNAPS, 0, 0)[1] or '0')
return {'ok'}
