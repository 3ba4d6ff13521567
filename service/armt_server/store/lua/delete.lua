-- Forgets a session. ARGV: 2 token of this call, 3 ms to remember it: a repetition then answers as the first did.
if redis.call('HGET', META, 'deleted') == ARGV[2] then
  return {'ok', redis.call('HGET', META, 'created_at')}
end
local refusal = gone()
if refusal then return refusal end
local created_at = redis.call('HGET', META, 'created_at')
for _, offset in ipairs(redis.call('ZRANGE', SNAPS, 0, -1)) do redis.call('UNLINK', snapshot_key(offset)) end
redis.call('UNLINK', META, LOG, SNAPS)
redis.call('HSET', META, 'deleted', ARGV[2], 'created_at', created_at)
redis.call('PEXPIRE', META, ARGV[3])
return {'ok', created_at}
