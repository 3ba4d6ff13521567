-- What all scripts of a session share; it is put in front of each of them.
--
-- KEYS: 1 meta (hash), 2 log (stream; an entry's id is the end offset of its bytes), 3 snaps (sorted set of the
-- offsets of snapshots). The snapshots' own keys are derived from these; all carry the same hash tag.
-- ARGV[1]: how many ms an expired session is remembered.
-- Every script answers {word, ...}: 'ok', or why nothing was done. Every script may be run twice in a row and
-- answers the second time as it did the first: a client whose connection breaks does not know if it ran.
-- A server out of memory refuses a script at its first write or not at all: so the first write of a script that
-- adds bytes is one that takes memory, and of one that frees or renews, one that takes none.

local META, LOG, SNAPS = KEYS[1], KEYS[2], KEYS[3]
local GRACE_MS = tonumber(ARGV[1])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function text(number) -- all digits; tostring would round from 1e14 on
  return string.format('%.0f', number)
end

local function snapshot_key(offset)
  return string.sub(META, 1, -#'meta' - 1) .. 'snap:' .. offset
end

local function gone() -- nil for a living session
  local meta = redis.call('HMGET', META, 'id', 'expires_at')
  if not meta[1] then return {'missing'} end
  if meta[2] ~= '' and tonumber(meta[2]) <= now then return {'expired'} end
  return nil
end

-- Sets every TTL of the session, here and nowhere else. All ends at expires_at ('' for never), but for the meta:
-- it stays to tell that the session has expired.
local function end_at(expires_at)
  local keys = {LOG, SNAPS}
  for _, offset in ipairs(redis.call('ZRANGE', SNAPS, 0, -1)) do
    keys[#keys + 1] = snapshot_key(offset)
  end
  for _, key in ipairs(keys) do
    if expires_at == '' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, expires_at) end
  end
  if expires_at == '' then
    redis.call('PERSIST', META)
  else
    redis.call('PEXPIREAT', META, text(expires_at + GRACE_MS))
  end
  redis.call('HSET', META, 'expires_at', expires_at)
end

local function begin_ttl() -- the time to live, if there is one, counts from now
  local ttl = redis.call('HGET', META, 'ttl')
  end_at(ttl == '' and '' or text(now + ttl * 1000))
end

local function renew() -- the same, where a session without one has nothing to change
  if redis.call('HGET', META, 'ttl') ~= '' then begin_ttl() end
end
