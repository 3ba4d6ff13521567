-- ARGV: 2 offset, 3 bytes.
local refusal = gone()
if refusal then return refusal end
local offset = ARGV[2]
local meta = redis.call('HMGET', META, 'log_end', 'snapshot_offset', 'expires_at')
if tonumber(offset) > tonumber(meta[1]) then return {'mismatch', meta[1]} end
redis.call('SET', snapshot_key(offset), ARGV[3])
redis.call('ZADD', SNAPS, offset, offset)
if tonumber(offset) > tonumber(meta[2]) then redis.call('HSET', META, 'snapshot_offset', offset) end
if meta[3] ~= '' then end_at(meta[3]) end
return {'ok'}
