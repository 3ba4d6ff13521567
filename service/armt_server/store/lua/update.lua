-- ARGV: 2 'ttl' or '', 3 the new time to live in s, '' for none; 4 'metadata' or '', 5 the new metadata.
local refusal = gone()
if refusal then return refusal end
if ARGV[4] ~= '' then redis.call('HSET', META, 'metadata', ARGV[5]) end
if ARGV[2] ~= '' then
  redis.call('HSET', META, 'ttl', ARGV[3])
  begin_ttl()
end
return {'ok'}
