-- Drops the entries of the log that end at or before an offset. ARGV: 2 the offset.
local refusal = gone()
if refusal then return refusal end
local meta = redis.call('HMGET', META, 'log_start', 'log_end')
local before = math.min(tonumber(ARGV[2]), tonumber(meta[2]))
if before <= tonumber(meta[1]) then return {'ok'} end
local last = redis.call('XREVRANGE', LOG, text(before), '-', 'COUNT', 1)[1]
if last then
  local log_start = string.match(last[1], '^%d+')
  redis.call('XTRIM', LOG, 'MINID', text(log_start + 1))
  redis.call('HSET', META, 'log_start', log_start)
end
return {'ok'}
