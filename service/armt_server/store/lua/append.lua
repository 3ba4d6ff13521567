-- Adds bytes if the log ends at the given offset. ARGV: 2 offset, 3 bytes, 4 their sha256.
local refusal = gone()
if refusal then return refusal end
local offset, data, digest = ARGV[2], ARGV[3], ARGV[4]
local meta = redis.call('HMGET', META, 'log_end', 'last_start', 'last_length', 'last_sha256')
local log_end = meta[1]
if offset == log_end and #data > 0 then
  log_end = text(offset + #data)
  redis.call('XADD', LOG, log_end, 'data', data)
  redis.call('HSET', META, 'log_end', log_end, 'last_start', offset, 'last_length', #data, 'last_sha256', digest)
elseif offset ~= log_end and not (offset == meta[2] and text(#data) == meta[3] and digest == meta[4]) then
  return {'mismatch', log_end}
end
renew()
return {'ok', log_end}
