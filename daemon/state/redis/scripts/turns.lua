-- Serves the queues in which calls of this replica wait, and brings it news of these calls.
--
-- Keys: those of the queue.
-- Arguments, after the five of clock:
--   6   count of waiters, and these waiters: the replica has read their news
--   then count of overdue calls, and of each the organization and the waiter: their time to wait is over
--   then the organizations
-- Answer:
--   turns  a list of news, as queue describes it; of each organization, when its first call has its turn (0 if none
--          waits) and how many wait
-- include clock
-- include contact
-- include ledger
-- include limits
-- include queue
local at = 6
local read = {}
for i = 1, tonumber(ARGV[at]) do read[ARGV[at + i]] = true end
at = at + 1 + tonumber(ARGV[at])
local overdue = {}
for i = 1, tonumber(ARGV[at]) do
  overdue[i] = {queue = queue_of(ARGV[at + 2 * i - 1]), handle = replica .. '.' .. ARGV[at + 2 * i]}
end
at = at + 1 + 2 * tonumber(ARGV[at])
local queues = {}
for i = at, #ARGV do queues[#queues + 1] = queue_of(ARGV[i]) end

for _, queue in ipairs(queues) do serve(queue) end
for _, late in ipairs(overdue) do
  local call = find(late.queue, late.handle)
  if call then
    local ahead = ahead_of_call(late.queue, call)
    remove_unserved(late.queue, call)
    refuse(call, ahead)
  end
end
local list, news, some_read = news_key(replica), {}, false
for _, line in ipairs(redis.call('LRANGE', list, 0, -1)) do
  if read[string.match(line, '^%S+')] then some_read = true else news[#news + 1] = line end
end
if some_read then keep_news(list, news) end
local turns = {}
for _, queue in ipairs(queues) do
  turns[#turns + 1] = next_turn(queue)
  turns[#turns + 1] = size_of(queue)
end
return reply('turns', news, unpack(turns))
