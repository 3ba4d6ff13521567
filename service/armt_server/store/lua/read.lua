-- Bytes of the log. ARGV: 2 start, 3 the most bytes, 4 the most entries to look at (other clients wait meanwhile).
local refusal = gone()
if refusal then return refusal end
local meta = redis.call('HMGET', META, 'log_start', 'log_end')
local start = tonumber(ARGV[2])
if start < tonumber(meta[1]) then return {'trimmed', meta[1]} end
local stop = math.min(start + ARGV[3], tonumber(meta[2]))
local pieces, at, budget, count = {}, start, tonumber(ARGV[4]), 1
while at < stop and budget > 0 do
  local entries = redis.call('XRANGE', LOG, text(at + 1), '+', 'COUNT', count)
  if #entries == 0 then return {'damaged'} end
  for _, entry in ipairs(entries) do
    local data, chunk_end = entry[2][2], tonumber(string.match(entry[1], '^%d+'))
    local chunk_start = chunk_end - #data
    if chunk_start > at then return {'damaged'} end
    pieces[#pieces + 1] = string.sub(data, at - chunk_start + 1, math.min(chunk_end, stop) - chunk_start)
    at = math.min(chunk_end, stop)
    if at == stop then break end
  end
  budget = budget - #entries
  -- as many as are needed if they are like those so far, but never very many large ones
  count = math.max(1, math.min(32, budget, math.ceil((stop - at) / ((at - start) / #pieces))))
end
return {'ok', table.concat(pieces)}
