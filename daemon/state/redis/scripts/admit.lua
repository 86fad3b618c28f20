-- Claims a request_id and spends what its call costs: both or neither.
--
-- Keys: those of the ledger, limits and queue.
-- Arguments, after the five of clock:
--   6   request_id
--   7   digest         of the request: another digest under the same request_id is another request
--   8   target         of the request
--   9   nonce          of this claim
--   10  age            of the request_id: new, if it was never used before; recent, if it would be remembered, or if
--                      nobody knows; or old
--   11  claim_life     how long the claim is kept if nobody ends it
--   12  max_entries    how many request_ids the ledger holds
--   13  one_caller     1 if there is no other caller, which needs a share of them
--   14… the call, as in spending
-- Answer:
--   fresh  own charges spent at, the organization's spent at
--   waits  when the first in the queue has its turn, how many wait: the call is claimed, and waits for its turn
--   limited  of each spent limit its index among the charges and until when it is spent
--   running  1 if the owner is alive, owner, nonce, target: another call with this request_id and digest runs
--   token  sealed, intent, target: the request_id has had its token
--   unknown  reason, sequence, code, target: the request_id may have had a token
--   reused  the request_id belongs to a request with another digest
--   quarantined  until when: the request_id may have had a token that Redis has lost
--   old  the request_id is not known, and so old that it may be forgotten
--   full  when the first request_id expires: the ledger is full, or the caller's share of it
-- include clock
-- include contact
-- include ledger
-- include limits
-- include queue
-- include spending
local request_id, digest, target, nonce, age = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local claim_life, max_entries, one_caller = tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13] == '1'
local call = read_call(14)

local key = entry_key(request_id)
local entry = redis.call('HMGET', key, 'digest', 'state', 'expires', 'owner', 'nonce', 'sealed', 'intent', 'reason',
                         'sequence', 'code', 'target')
local known_digest, state, expires, owner, owner_nonce = entry[1], entry[2], entry[3], entry[4], entry[5]
if known_digest and tonumber(expires) > now then
  local first = entry[11]
  if known_digest ~= '' and known_digest ~= digest then return reply('reused') end
  if state == 'running' then return reply('running', is_alive(owner) and 1 or 0, owner, owner_nonce, first) end
  if state == 'token' then return reply('token', entry[6], entry[7], first) end
  return reply('unknown', entry[8], entry[9], entry[10], first)
end
if age ~= 'new' and now < quarantine_ends then return reply('quarantined', quarantine_ends) end
if age == 'old' then return reply('old') end
local unexpired = '(' .. text_of(now)
local taken = redis.call('ZCOUNT', IDS, unexpired, '+inf')
-- The same rule as base/shares.h: the last quarter is for callers that have less than a quarter.
local quarter = math.floor(max_entries / 4)
local is_last_quarter = not one_caller and max_entries >= 4 and max_entries - taken <= quarter
if taken >= max_entries or
   (is_last_quarter and redis.call('ZCOUNT', owner_key(request_id), unexpired, '+inf') >= quarter) then
  local first = redis.call('ZRANGEBYSCORE', IDS, unexpired, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return reply('full', tonumber(first[2] or '0'))
end
local verdict, spent = judge(call)
if verdict == 'limited' then return reply('limited', unpack(spent)) end
number_write()
redis.call('DEL', key)
redis.call('HSET', key, 'digest', digest, 'target', target, 'state', 'running', 'owner', replica, 'nonce', nonce)
expire_at(request_id, now + claim_life)
return spend(call, verdict, request_id, nonce)
