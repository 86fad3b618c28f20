-- Undoes what admit or spend did for a call that is gone: removes its claim and its place in the queue, and gives back
-- what it spent for its turn.
--
-- Keys: those of the ledger, limits and queue.
-- Arguments, after the five of clock:
--   6   not_before      0, or the time before which the script to be undone may yet run
--   7   request_id      or -
--   8   nonce           of the claim, or -
--   9   waiter          its number in the queue, or 0
--   10  organization    of the queue
--   11… its own charges, the organization's charges
-- Answer:
--   ok
--   early    nothing was done: it is not_before yet
-- include clock
-- include contact
-- include ledger
-- include limits
-- include queue
local not_before, request_id, nonce = tonumber(ARGV[6]), ARGV[7], ARGV[8]
local waiter, queue = ARGV[9], queue_of(ARGV[10])
local own, next_argument = read_charges(11)
local organization = read_charges(next_argument)

if now <= not_before then return reply('early') end
local call = find(queue, replica .. '.' .. waiter)
if call then
  remove_unserved(queue, call)
  give_back(call.own, call.since)
else
  -- It may have had its turn, of which the replica has not heard.
  local list = news_key(replica)
  local news = redis.call('LRANGE', list, 0, -1)
  for i, line in ipairs(news) do
    if string.match(line, '^%S+') == waiter then
      local own_at, organization_at = string.match(line, '^%S+ granted (%d+) (%d+)$')
      if own_at then
        give_back(own, tonumber(own_at))
        give_back(organization, tonumber(organization_at))
      end
      table.remove(news, i)
      keep_news(list, news)
      break
    end
  end
end
if request_id ~= '-' then forget(request_id, nonce) end
return reply('ok')
