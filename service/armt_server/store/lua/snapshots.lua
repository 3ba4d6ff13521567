-- The offsets of the snapshots, newest first.
local refusal = gone()
if refusal then return refusal end
return {'ok', redis.call('ZREVRANGE', SNAPS, 0, -1)}
