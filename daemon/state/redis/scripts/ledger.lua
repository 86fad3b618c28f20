-- Included by the scripts that change the ledger of request_ids.
--
-- Keys:
--   {tokend}:r:<request_id>   hash: digest, empty if the request_id is known whatever the parameters; target, what the
--                             first call asked for; state (running, token or unknown); owner, the replica that claimed
--                             it; nonce of the claim; expires, the time; of a token: sealed, intent; of an unknown
--                             outcome: reason, sequence, code. A request_id begins with a digest of its caller's name
--   {tokend}:ids              sorted set: the request_ids by when they expire
--   {tokend}:o:<owner>        the same of one caller: the owner is what a request_id has before its colon
local function entry_key(request_id) return PREFIX .. 'r:' .. request_id end
local IDS = PREFIX .. 'ids'
local function owner_key(request_id) return PREFIX .. 'o:' .. string.match(request_id, '^[^:]*') end

-- Deletes the entry if it has this nonce and, where `state` is given, this state.
local function forget(request_id, nonce, state)
  local entry = redis.call('HMGET', entry_key(request_id), 'nonce', 'state')
  if entry[1] ~= nonce or (state and entry[2] ~= state) then return end
  redis.call('DEL', entry_key(request_id))
  redis.call('ZREM', IDS, request_id)
  redis.call('ZREM', owner_key(request_id), request_id)
end

-- Sets when an entry expires. Also removes those that have expired from both sets.
local function expire_at(request_id, expires)
  local key = entry_key(request_id)
  redis.call('HSET', key, 'expires', text_of(expires))
  redis.call('PEXPIREAT', key, text_of(math.ceil(expires / 1000)))
  for _, ids in ipairs({IDS, owner_key(request_id)}) do
    redis.call('ZADD', ids, text_of(expires), request_id)
    redis.call('ZREMRANGEBYSCORE', ids, '-inf', text_of(now))
    local last = redis.call('ZRANGE', ids, -1, -1, 'WITHSCORES')
    if last[2] then redis.call('PEXPIREAT', ids, text_of(math.ceil(tonumber(last[2]) / 1000))) end
  end
end
