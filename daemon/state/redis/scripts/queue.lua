-- Included by the scripts that use the queues, after contact, ledger and limits: calls that wait for an organization's
-- limits. The same algorithm as grouped_queue.h, fair_queue.h and rate_limiter.cc. The calls of a grant are a line.
--
-- Keys:
--   {tokend}:o:<organization>          sorted set: the lines in which calls wait, by the tag of their next turn. A
--                                      member is <since>:<grant>, the line's arrival of 16 digits and the grant of 32,
--                                      so that of equal tags the line that waits longer comes first
--   {tokend}:q:<organization>:<grant>  sorted set: the line's waiting calls by tag. A member is
--                                      <arrival>:<caller>:<replica>.<waiter>, the arrival of 16 digits and the caller
--                                      of 32, so that of equal tags the earlier call comes first
--   {tokend}:t:<organization>:<grant>  sorted set: the line's callers by the tag of their next call
--   {tokend}:w:<organization>          hash: <replica>.<waiter> to what is known of the call
--   {tokend}:s:<organization>          hash: served, the highest tag of a turn that was served; arrivals, how many calls
--                                      have come; of each line next:<grant>, the tag of its next turn, since:<grant>,
--                                      its arrival, and served:<grant>, the highest tag of a call that was served
--   {tokend}:g:<replica>               list: news for the replica's waiting calls, until it says that it has read
--                                      them. "<waiter> granted <own spent at> <organization's spent at>", or
--                                      "<waiter> refused" with index and time of each spent limit
local function queue_of(organization)
  return {name = organization, lines = PREFIX .. 'o:' .. organization, calls = PREFIX .. 'w:' .. organization,
          numbers = PREFIX .. 's:' .. organization}
end
local function number_of(queue, field) return tonumber(redis.call('HGET', queue.numbers, field) or '0') end
local function set_number(queue, field, number) redis.call('HSET', queue.numbers, field, text_of(number)) end

local function line_of(queue, grant)
  local name = queue.name .. ':' .. grant
  return {queue = queue, grant = grant, waiting = PREFIX .. 'q:' .. name, tags = PREFIX .. 't:' .. name}
end
local function length_of(line) return redis.call('ZCARD', line.waiting) end
local function next_turn_of(line) return number_of(line.queue, 'next:' .. line.grant) end
local function member_of(line)
  return string.format('%016.0f:', number_of(line.queue, 'since:' .. line.grant)) .. line.grant
end
-- The lines in which calls wait, in the order of their next turns; or the first one alone.
local function lines_in(queue, last)
  local members, lines = redis.call('ZRANGE', queue.lines, 0, last or -1, 'WITHSCORES'), {}
  for i = 1, #members, 2 do
    local line = line_of(queue, string.sub(members[i], 18))
    line.member, line.next = members[i], tonumber(members[i + 1])
    lines[#lines + 1] = line
  end
  return lines
end

local function size_of(queue)
  local size = 0
  for _, line in ipairs(lines_in(queue)) do size = size + length_of(line) end
  return size
end

local function served_in(line) return number_of(line.queue, 'served:' .. line.grant) end
local function tag_of(line, caller)
  return math.max(tonumber(redis.call('ZSCORE', line.tags, caller) or '0'), served_in(line))
end
local function caller_in(member) return string.sub(member, 18, 49) end
local function handle_in(member) return string.sub(member, 51) end

-- How many calls of other lines come before a turn with this tag. `member` is the line's, or nil if it has yet to come.
local function ahead_of(line, tag, member)
  local ahead = 0
  for _, other in ipairs(lines_in(line.queue)) do
    if other.grant ~= line.grant then
      local ends = (not member or other.member < member) and tag + 1 or tag
      ahead = ahead + math.min(math.max(ends - other.next, 0), length_of(other))
    end
  end
  return ahead
end
-- How many calls would be served before one that came now.
local function ahead_of_next(line, caller)
  if length_of(line) == 0 then
    return ahead_of(line, math.max(next_turn_of(line), number_of(line.queue, 'served')), nil)
  end
  local before = redis.call('ZCOUNT', line.waiting, '-inf', text_of(tag_of(line, caller)))
  return before + ahead_of(line, next_turn_of(line) + before, member_of(line))
end
-- How many calls will be served before this one.
local function ahead_of_call(queue, call)
  local line = line_of(queue, call.grant)
  local before = redis.call('ZRANK', line.waiting, call.member) or 0
  return before + ahead_of(line, next_turn_of(line) + before, member_of(line))
end

-- A waiting call is kept as words between spaces.
local function find(queue, handle)
  local text = redis.call('HGET', queue.calls, handle)
  if not text then return nil end
  local word = string.gmatch(text, '%S+')
  local call = {handle = handle, member = word(), grant = word(), replica = word(), waiter = word(),
                latest = tonumber(word()), since = tonumber(word()), request_id = word(), nonce = word(), own = {},
                organization = {}}
  for _, charges in ipairs({call.own, call.organization}) do
    for i = 1, tonumber(word()) do
      charges[i] = {limit = word(), interval = tonumber(word()), tolerance = tonumber(word())}
    end
  end
  return call
end
local function keep(queue, call)
  local words = {call.member, call.grant, call.replica, call.waiter, text_of(call.latest), text_of(call.since),
                 call.request_id, call.nonce}
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

-- Forgets callers that are not ahead of what is served in their line.
local function forget_callers(line)
  local served = served_in(line)
  redis.call('ZREMRANGEBYSCORE', line.tags, '-inf', text_of(served))
  if redis.call('ZCARD', line.tags) >= MAX_CALLERS then
    set_number(line.queue, 'served:' .. line.grant, served + 1)
    redis.call('ZREMRANGEBYSCORE', line.tags, '-inf', text_of(served + 1))
  end
end
-- A call has left the line. A line in which nobody waits is kept only while it is ahead of what is served.
local function settle(line)
  local queue = line.queue
  if size_of(queue) == 0 then
    redis.call('DEL', queue.lines, queue.calls, queue.numbers, line.waiting, line.tags)
  elseif length_of(line) > 0 then
    forget_callers(line)
    redis.call('ZADD', queue.lines, text_of(next_turn_of(line)), member_of(line))
  else
    redis.call('ZREM', queue.lines, member_of(line))
    redis.call('DEL', line.waiting, line.tags)
    redis.call('HDEL', queue.numbers, 'served:' .. line.grant)
    if next_turn_of(line) <= number_of(queue, 'served') then
      redis.call('HDEL', queue.numbers, 'next:' .. line.grant)
      redis.call('HDEL', queue.numbers, 'since:' .. line.grant)
    end
  end
end
local function remove(line, call)
  redis.call('ZREM', line.waiting, call.member)
  redis.call('HDEL', line.queue.calls, call.handle)
end
-- Removes a call that is not served: the later calls of its caller move up.
local function remove_unserved(queue, call)
  local line = line_of(queue, call.grant)
  local tag = redis.call('ZSCORE', line.waiting, call.member)
  remove(line, call)
  local caller = caller_in(call.member)
  if tag then
    local later = redis.call('ZRANGEBYSCORE', line.waiting, '(' .. tag, '+inf', 'WITHSCORES')
    for i = 1, #later, 2 do
      if caller_in(later[i]) == caller then
        redis.call('ZADD', line.waiting, text_of(tonumber(later[i + 1]) - 1), later[i])
      end
    end
    local next_tag = redis.call('ZSCORE', line.tags, caller)
    if next_tag then redis.call('ZADD', line.tags, text_of(tonumber(next_tag) - 1), caller) end
  end
  settle(line)
end

-- Where a call comes and there is no room, the newest call of whoever has most gives way: of the line with the most
-- calls, that of the caller with the most. The one that comes counts as waiting, and of equal numbers as having the
-- most: then there is none that gives way.
local function find_displaced(comes)
  local queue = comes.queue
  local most = line_of(queue, comes.grant)
  local length = length_of(most) + 1
  for _, line in ipairs(lines_in(queue)) do
    if line.grant ~= comes.grant and length_of(line) > length then most, length = line, length_of(line) end
  end
  local members, counts, most_calls = redis.call('ZRANGE', most.waiting, 0, -1), {}, 0
  if most.grant == comes.grant then counts[comes.caller], most_calls = 1, 1 end
  for _, member in ipairs(members) do
    local caller = caller_in(member)
    counts[caller] = (counts[caller] or 0) + 1
    most_calls = math.max(most_calls, counts[caller])
  end
  if most.grant == comes.grant and counts[comes.caller] == most_calls then return nil end
  for i = #members, 1, -1 do
    if counts[caller_in(members[i])] == most_calls then return find(queue, handle_in(members[i])) end
  end
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

-- The call that is served next, its line and its tag there. The call is nil where Redis has forgotten it, the line is
-- nil where nobody waits.
local function first_in(queue)
  local line = lines_in(queue, 0)[1]
  if not line then return nil, nil end
  local first = redis.call('ZRANGE', line.waiting, 0, 0, 'WITHSCORES')
  return first[1] and find(queue, handle_in(first[1])), line, first
end

-- Grants all turns that have come. Refuses calls on the way that are overdue or whose replica is dead.
local function serve(queue)
  while true do
    local call, line, first = first_in(queue)
    if not line then return end
    if not call then
      if first[1] then redis.call('ZREM', line.waiting, first[1]) end
      if length_of(line) == 0 then redis.call('ZREM', queue.lines, line.member) end
      settle(line)
    elseif call.latest < now or not is_alive(call.replica) then
      remove_unserved(queue, call)
      refuse(call, 0)
    elseif turn_of(call.organization, 0) <= now then
      remove(line, call)
      set_number(queue, 'served', math.max(number_of(queue, 'served'), line.next))
      set_number(queue, 'next:' .. line.grant, line.next + 1)
      set_number(queue, 'served:' .. line.grant, math.max(served_in(line), tonumber(first[2])))
      settle(line)
      take(call.organization)
      tell(call, 'granted ' .. text_of(call.since) .. ' ' .. text_of(now))
    else
      return
    end
  end
end

-- When the first in the queue has its turn; 0 if nobody waits.
local function next_turn(queue)
  local call = first_in(queue)
  return call and turn_of(call.organization, 0) or 0
end
