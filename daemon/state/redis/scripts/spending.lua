-- Included by admit, spend and check, after queue: a call that spends charges, at once or in its turn.
--
-- Arguments, from the place that the script names: waiter, the call's number at its replica; organization; grant and
-- caller, whose turn it is, in 32 digits each; patience, how long the call can wait; own charges; the organization's
-- charges.
local function read_call(at)
  local call = {waiter = ARGV[at], queue = queue_of(ARGV[at + 1]), grant = ARGV[at + 2], caller = ARGV[at + 3],
                latest = now + tonumber(ARGV[at + 4])}
  call.own, at = read_charges(at + 5)
  call.organization = read_charges(at)
  return call
end

-- What spending would come to: 'fresh', 'waits', or 'limited' and the spent limits. Serves the queue first.
local function judge(call)
  if #call.organization > 0 then serve(call.queue) end
  local spent = {}
  add_spent(spent, call.own, 0, 0)
  local queue, size, waits = call.queue, 0, false
  if #call.organization > 0 then
    size = size_of(queue)
    waits = size > 0 or turn_of(call.organization, 0) > now
  end
  local ahead = size > 0 and ahead_of_next(line_of(queue, call.grant), call.caller) or 0
  if #spent == 0 then
    if not waits then return 'fresh' end
    local full = size >= MAX_WAITING and not find_displaced(call)
    if not full and turn_of(call.organization, ahead) <= call.latest then return 'waits' end
  end
  if waits then add_organization_spent(spent, call, ahead) end
  return 'limited', spent
end

-- Puts the call into the queue. If the queue is full, another call gives way and is refused.
local function enqueue(call, request_id, nonce)
  local queue, displaced = call.queue, nil
  if size_of(queue) >= MAX_WAITING then
    displaced = find_displaced(call)
    if displaced then remove_unserved(queue, displaced) end
  end
  local line = line_of(queue, call.grant)
  local tag = tag_of(line, call.caller)
  local arrival = number_of(queue, 'arrivals')
  if length_of(line) == 0 then
    set_number(queue, 'next:' .. line.grant, math.max(next_turn_of(line), number_of(queue, 'served')))
    set_number(queue, 'since:' .. line.grant, arrival)
  end
  local handle = replica .. '.' .. call.waiter
  local member = string.format('%016.0f:', arrival) .. call.caller .. ':' .. handle
  set_number(queue, 'arrivals', arrival + 1)
  redis.call('ZADD', line.tags, text_of(tag + 1), call.caller)
  redis.call('ZADD', line.waiting, text_of(tag), member)
  redis.call('ZADD', queue.lines, text_of(next_turn_of(line)), member_of(line))
  keep(queue, {handle = handle, member = member, grant = call.grant, replica = replica, waiter = call.waiter, latest = call.latest,
               since = now, request_id = request_id, nonce = nonce, own = call.own, organization = call.organization})
  local life_ms = math.ceil((call.latest - now) / 1000) + NEWS_LIFE_MS
  for _, key in ipairs({queue.lines, queue.calls, queue.numbers, line.waiting, line.tags}) do
    if redis.call('PTTL', key) < life_ms then redis.call('PEXPIRE', key, text_of(life_ms)) end
  end
  if displaced then refuse(displaced, size_of(queue)) end
end

-- Spends for a call that was judged to be 'fresh' or to wait.
local function spend(call, verdict, request_id, nonce)
  take(call.own)
  if verdict == 'fresh' then
    take(call.organization)
    return reply('fresh', now, now)
  end
  enqueue(call, request_id, nonce)
  return reply('waits', next_turn(call.queue), size_of(call.queue))
end
