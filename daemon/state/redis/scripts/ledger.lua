-- Included by the scripts that change the ledger of request_ids.
--
-- Keys:
--   {tokend}:r:<request_id>   hash: digest, empty if the request_id is known whatever the parameters; target, what the
--                             first call asked for; state (running, token or unknown); owner, the replica that claimed
--                             it; nonce of the claim; expires, the time; of a token: sealed, intent; of an unknown
--                             outcome: reason, sequence, code. A request_id begins with a digest of its caller's name
--   {tokend}:ids              sorted set: the request_ids by when they expire
local function entry_key(request_id) return PREFIX .. 'r:' .. request_id end
local IDS = PREFIX .. 'ids'

-- Deletes the entry if it has this nonce and, where `state` is given, this state.
local function forget(request_id, nonce, state)
  local entry = redis.call('HMGET', entry_key(request_id), 'nonce', 'state')
  if entry[1] ~= nonce or (state and entry[2] ~= state) then return end
  redis.call('DEL', entry_key(request_id))
  redis.call('ZREM', IDS, request_id)
end

-- Sets when an entry expires. Also removes those that have expired from the set of all.
local function expire_at(request_id, expires)
  local key = entry_key(request_id)
  redis.call('HSET', key, 'expires', text_of(expires))
  redis.call('PEXPIREAT', key, text_of(math.ceil(expires / 1000)))
  redis.call('ZADD', IDS, text_of(expires), request_id)
  redis.call('ZREMRANGEBYSCORE', IDS, '-inf', text_of(now))
  local last = redis.call('ZRANGE', IDS, -1, -1, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', IDS, text_of(math.ceil(tonumber(last[2]) / 1000))) end
end
