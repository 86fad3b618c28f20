-- Included by the scripts that use the queues, after contact, ledger and limits: calls that wait for an organization's
-- limits. The same algorithm as fair_queue.h and rate_limiter.cc.
--
-- Keys:
--   {tokend}:q:<organization>   sorted set: the waiting calls by tag. A member is
--                               <arrival>:<caller>:<replica>.<waiter>, the arrival of 16 digits and the caller of 32,
--                               so that of equal tags the earlier call comes first
--   {tokend}:w:<organization>   hash: <replica>.<waiter> to what is known of the call
--   {tokend}:t:<organization>   sorted set: callers by the tag of their next call
--   {tokend}:s:<organization>   hash: served, the highest tag that was served; arrivals, how many calls have come
--   {tokend}:g:<replica>        list: news for the replica's waiting calls, until it says that it has read them.
--                               "<waiter> granted <own spent at> <organization's spent at>", or "<waiter> refused" with
--                               index and time of each spent limit
local function queue_of(organization)
  return {waiting = PREFIX .. 'q:' .. organization, calls = PREFIX .. 'w:' .. organization,
          tags = PREFIX .. 't:' .. organization, served = PREFIX .. 's:' .. organization}
end
local function size_of(queue) return redis.call('ZCARD', queue.waiting) end
local function served_in(queue) return tonumber(redis.call('HGET', queue.served, 'served') or '0') end
local function tag_of(queue, caller)
  return math.max(tonumber(redis.call('ZSCORE', queue.tags, caller) or '0'), served_in(queue))
end
local function caller_in(member) return string.sub(member, 18, 49) end
local function handle_in(member) return string.sub(member, 51) end

-- A waiting call is kept as words between spaces.
local function find(queue, handle)
  local text = redis.call('HGET', queue.calls, handle)
  if not text then return nil end
  local word = string.gmatch(text, '%S+')
  local call = {handle = handle, member = word(), replica = word(), waiter = word(), latest = tonumber(word()),
                since = tonumber(word()), request_id = word(), nonce = word(), own = {}, organization = {}}
  for _, charges in ipairs({call.own, call.organization}) do
    for i = 1, tonumber(word()) do
      charges[i] = {limit = word(), interval = tonumber(word()), tolerance = tonumber(word())}
    end
  end
  return call
end
local function keep(queue, call)
  local words = {call.member, call.replica, call.waiter, text_of(call.latest), text_of(call.since), call.request_id,
                 call.nonce}
  for _, charges in ipairs({call.own, call.organization}) do
    words[#words + 1] = text_of(#charges)
    for _, charge in ipairs(charges) do
      words[#words + 1] = charge.limit
      words[#words + 1] = text_of(charge.interval)
      words[#words + 1] = text_of(charge.tolerance)
    end
  end
  redis.call('HSET', queue.calls, call.handle, table.concat(words, ' '))
end

-- Forgets callers that are not ahead of what is served; all of them if nobody waits.
local function forget_callers(queue)
  if size_of(queue) == 0 then
    redis.call('DEL', queue.waiting, queue.calls, queue.tags, queue.served)
    return
  end
  local served = served_in(queue)
  redis.call('ZREMRANGEBYSCORE', queue.tags, '-inf', text_of(served))
  if redis.call('ZCARD', queue.tags) >= MAX_CALLERS then
    redis.call('HSET', queue.served, 'served', text_of(served + 1))
    redis.call('ZREMRANGEBYSCORE', queue.tags, '-inf', text_of(served + 1))
  end
end
local function remove(queue, call)
  redis.call('ZREM', queue.waiting, call.member)
  redis.call('HDEL', queue.calls, call.handle)
end
-- Removes a call that is not served: the later calls of its caller move up.
local function remove_unserved(queue, call)
  local tag = redis.call('ZSCORE', queue.waiting, call.member)
  remove(queue, call)
  local caller = caller_in(call.member)
  if tag then
    local later = redis.call('ZRANGEBYSCORE', queue.waiting, '(' .. tag, '+inf', 'WITHSCORES')
    for i = 1, #later, 2 do
      if caller_in(later[i]) == caller then
        redis.call('ZADD', queue.waiting, text_of(tonumber(later[i + 1]) - 1), later[i])
      end
    end
    local next_tag = redis.call('ZSCORE', queue.tags, caller)
    if next_tag then redis.call('ZADD', queue.tags, text_of(tonumber(next_tag) - 1), caller) end
  end
  forget_callers(queue)
end

local function news_key(name) return PREFIX .. 'g:' .. name end
local function keep_news(list, news)
  redis.call('DEL', list)
  for _, line in ipairs(news) do redis.call('RPUSH', list, line) end
  if #news > 0 then redis.call('PEXPIRE', list, NEWS_LIFE_MS) end
end
local function tell(call, news)
  redis.call('RPUSH', news_key(call.replica), call.waiter .. ' ' .. news)
  redis.call('PEXPIRE', news_key(call.replica), NEWS_LIFE_MS)
end

-- The organization's limits that are spent, or the first of them: if a token has come just now, others have the turn.
local function add_organization_spent(list, call, ahead)
  add_spent(list, call.organization, ahead, #call.own)
  if #list == 0 then
    list[1], list[2] = text_of(#call.own), text_of(now)
  end
end
-- Tells a call that has left the queue that its turn did not come.
local function refuse(call, ahead)
  give_back(call.own, call.since)
  if call.request_id ~= '-' then forget(call.request_id, call.nonce, 'running') end
  local spent = {}
  add_organization_spent(spent, call, ahead)
  tell(call, 'refused ' .. table.concat(spent, ' '))
end

-- Grants all turns that have come. Refuses calls on the way that are overdue or whose replica is dead.
local function serve(queue)
  while true do
    local first = redis.call('ZRANGE', queue.waiting, 0, 0, 'WITHSCORES')
    if not first[1] then return end
    local call = find(queue, handle_in(first[1]))
    if not call then
      redis.call('ZREM', queue.waiting, first[1])
      forget_callers(queue)
    elseif call.latest < now or not is_alive(call.replica) then
      remove_unserved(queue, call)
      refuse(call, 0)
    elseif turn_of(call.organization, 0) <= now then
      remove(queue, call)
      redis.call('HSET', queue.served, 'served', text_of(math.max(served_in(queue), tonumber(first[2]))))
      forget_callers(queue)
      take(call.organization)
      tell(call, 'granted ' .. text_of(call.since) .. ' ' .. text_of(now))
    else
      return
    end
  end
end

-- When the first in the queue has its turn; 0 if nobody waits.
local function next_turn(queue)
  local first = redis.call('ZRANGE', queue.waiting, 0, 0)
  local call = first[1] and find(queue, handle_in(first[1]))
  return call and turn_of(call.organization, 0) or 0
end
