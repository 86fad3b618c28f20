#include "daemon/state/redis_scripts.h"

#include <openssl/sha.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/form.h"

namespace tokend::state {
namespace {

// Numbers are doubles in Lua: exact up to 2^53, which microseconds reach in the year 2255.
constexpr std::string_view kClock = R"lua(
local P = '{tokend}:'
local function str(number) return string.format('%.0f', number) end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local wrote = 0
local function reply(word, ...) return {word, now, wrote, ...} end
if now > tonumber(ARGV[3]) then return reply('late') end
local me = P .. 'p:' .. ARGV[2]
local contact = redis.call('HMGET', me, 'lease', 'write')
local lease, write = tonumber(contact[1] or '0'), tonumber(contact[2] or '0')
local function renew()
  redis.call('HSET', me, 'lease', str(now + 5000000), 'write', str(write))
  redis.call('PEXPIRE', me, 3600000)
end
)lua";

// The lease is renewed once a second, so that a script that only reads writes nothing. A write to the ledger
// is numbered first: where memory is short it is that which Redis refuses, and nothing is done.
constexpr std::string_view kContact = R"lua(
local epoch = redis.call('HMGET', P .. 'epoch', 'id', 'quarantine')
if epoch[1] ~= ARGV[1] or write < tonumber(ARGV[4]) then return reply('lost') end
if lease < now + 4000000 then renew() end
local function number_write()
  wrote = tonumber(ARGV[5])
  write = math.max(write, wrote)
  renew()
end
local function alive(replica)
  return tonumber(redis.call('HGET', P .. 'p:' .. replica, 'lease') or '0') > now
end
)lua";

constexpr std::string_view kLedger = R"lua(
local function forget(id, nonce, state)
  local key = P .. 'r:' .. id
  local entry = redis.call('HMGET', key, 'nonce', 'state')
  if entry[1] ~= nonce or (state and entry[2] ~= state) then return end
  redis.call('DEL', key)
  redis.call('ZREM', P .. 'ids', id)
end
local function expire(key, id, expires)
  redis.call('HSET', key, 'expires', str(expires))
  redis.call('PEXPIREAT', key, str(math.ceil(expires / 1000)))
  redis.call('ZADD', P .. 'ids', str(expires), id)
  redis.call('ZREMRANGEBYSCORE', P .. 'ids', '-inf', str(now))
  local last = redis.call('ZRANGE', P .. 'ids', -1, -1, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', P .. 'ids', str(math.ceil(tonumber(last[2]) / 1000))) end
end
)lua";

// As in gcra.h. A charge is {key, interval, tolerance}.
constexpr std::string_view kLimits = R"lua(
local function read_charges(at)
  local charges, count = {}, tonumber(ARGV[at])
  for i = 1, count do
    local a = at + 3 * i - 2
    charges[i] = {ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])}
  end
  return charges, at + 1 + 3 * count
end
local function full_at(charge) return tonumber(redis.call('GET', P .. 'l:' .. charge[1]) or '0') end
local function keep(charge, full)
  local key = P .. 'l:' .. charge[1]
  if full <= now then redis.call('DEL', key) return end
  redis.call('SET', key, str(full))
  redis.call('PEXPIREAT', key, str(math.ceil(full / 1000)))
end
local function earliest(charge, ahead)
  return math.max(math.max(full_at(charge), now) - charge[3] + ahead * charge[2], now)
end
local function turn_of(charges, ahead)
  local turn = now
  for _, charge in ipairs(charges) do turn = math.max(turn, earliest(charge, ahead)) end
  return turn
end
local function take(charges)
  for _, charge in ipairs(charges) do keep(charge, math.max(full_at(charge), now) + charge[2]) end
end
local function put_back(charges, spent_at)
  for _, charge in ipairs(charges) do
    local full = full_at(charge)
    local worth = math.min(math.max(charge[2] - (now - spent_at), 0), charge[2])
    if full > now and worth > 0 then keep(charge, full - worth) end
  end
end
local function add_spent(list, charges, ahead, first)
  for i, charge in ipairs(charges) do
    local until_ = earliest(charge, ahead)
    if until_ > now then
      list[#list + 1] = str(first + i - 1)
      list[#list + 1] = str(until_)
    end
  end
end
)lua";

// As in fair_queue.h and rate_limiter.cc. A waiting call's member begins with 16 digits and a colon, and ends
// with a caller of 32, a colon and its handle.
constexpr std::string_view kQueue = R"lua(
local function queue_of(org)
  return {queue = P .. 'q:' .. org, waiting = P .. 'w:' .. org, tags = P .. 't:' .. org, served = P .. 's:' .. org}
end
local function size_of(q) return redis.call('ZCARD', q.queue) end
local function served_in(q) return tonumber(redis.call('HGET', q.served, 'served') or '0') end
local function tag_of(q, caller)
  return math.max(tonumber(redis.call('ZSCORE', q.tags, caller) or '0'), served_in(q))
end
local function caller_in(member) return string.sub(member, 18, 49) end
local function handle_in(member) return string.sub(member, 51) end

local function find(q, handle)
  local text = redis.call('HGET', q.waiting, handle)
  if not text then return nil end
  local word = string.gmatch(text, '%S+')
  local w = {handle = handle, member = word(), replica = word(), waiter = word(), latest = tonumber(word()),
             since = tonumber(word()), id = word(), nonce = word(), own = {}, org = {}}
  for i = 1, tonumber(word()) do w.own[i] = {word(), tonumber(word()), tonumber(word())} end
  for i = 1, tonumber(word()) do w.org[i] = {word(), tonumber(word()), tonumber(word())} end
  return w
end
local function text_of(w)
  local words = {w.member, w.replica, w.waiter, str(w.latest), str(w.since), w.id, w.nonce}
  for _, charges in ipairs({w.own, w.org}) do
    words[#words + 1] = str(#charges)
    for _, charge in ipairs(charges) do
      words[#words + 1] = charge[1]
      words[#words + 1] = str(charge[2])
      words[#words + 1] = str(charge[3])
    end
  end
  return table.concat(words, ' ')
end

local function tidy(q)
  if size_of(q) == 0 then
    redis.call('DEL', q.queue, q.waiting, q.tags, q.served)
    return
  end
  local served = served_in(q)
  redis.call('ZREMRANGEBYSCORE', q.tags, '-inf', str(served))
  if redis.call('ZCARD', q.tags) >= 65536 then
    redis.call('HSET', q.served, 'served', str(served + 1))
    redis.call('ZREMRANGEBYSCORE', q.tags, '-inf', str(served + 1))
  end
end
local function pull(q, w)
  redis.call('ZREM', q.queue, w.member)
  redis.call('HDEL', q.waiting, w.handle)
end
local function take_out(q, w)
  local tag = redis.call('ZSCORE', q.queue, w.member)
  pull(q, w)
  local caller = caller_in(w.member)
  if tag then
    local later = redis.call('ZRANGEBYSCORE', q.queue, '(' .. tag, '+inf', 'WITHSCORES')
    for i = 1, #later, 2 do
      if caller_in(later[i]) == caller then redis.call('ZADD', q.queue, str(tonumber(later[i + 1]) - 1), later[i]) end
    end
    local next_tag = redis.call('ZSCORE', q.tags, caller)
    if next_tag then redis.call('ZADD', q.tags, str(tonumber(next_tag) - 1), caller) end
  end
  tidy(q)
end

local function tell(w, news)
  local list = P .. 'g:' .. w.replica
  redis.call('RPUSH', list, w.waiter .. ' ' .. news)
  redis.call('PEXPIRE', list, 60000)
end
local function refuse(w, ahead)
  put_back(w.own, w.since)
  if w.id ~= '-' then forget(w.id, w.nonce, 'running') end
  local spent = {}
  add_spent(spent, w.org, ahead, #w.own)
  if #spent == 0 then spent = {str(#w.own), str(now)} end
  tell(w, 'refused ' .. table.concat(spent, ' '))
end
local function serve(q)
  while true do
    local first = redis.call('ZRANGE', q.queue, 0, 0, 'WITHSCORES')
    if not first[1] then return end
    local w = find(q, handle_in(first[1]))
    if not w then
      redis.call('ZREM', q.queue, first[1])
      tidy(q)
    elseif w.latest < now or not alive(w.replica) then
      take_out(q, w)
      refuse(w, 0)
    elseif turn_of(w.org, 0) <= now then
      pull(q, w)
      redis.call('HSET', q.served, 'served', str(math.max(served_in(q), tonumber(first[2]))))
      tidy(q)
      take(w.org)
      tell(w, 'granted ' .. str(w.since) .. ' ' .. str(now))
    else
      return
    end
  end
end
local function next_turn(q)
  local first = redis.call('ZRANGE', q.queue, 0, 0)
  local w = first[1] and find(q, handle_in(first[1]))
  return w and turn_of(w.org, 0) or 0
end

local function read_call(at)
  local call = {waiter = ARGV[at], q = queue_of(ARGV[at + 1]), caller = ARGV[at + 2],
                latest = now + tonumber(ARGV[at + 3])}
  call.own, at = read_charges(at + 4)
  call.org = read_charges(at)
  return call
end
local function judge(call)
  local spent = {}
  add_spent(spent, call.own, 0, 0)
  local q, size, waits = call.q, 0, false
  if #call.org > 0 then
    size = size_of(q)
    waits = size > 0 or turn_of(call.org, 0) > now
  end
  local tag = tag_of(q, call.caller)
  local ahead = size > 0 and redis.call('ZCOUNT', q.queue, '-inf', str(tag)) or 0
  if #spent == 0 then
    if not waits then return 'fresh' end
    local full = size >= 256 and tag >= tonumber(redis.call('ZRANGE', q.queue, -1, -1, 'WITHSCORES')[2])
    if not full and turn_of(call.org, ahead) <= call.latest then return 'waits' end
  end
  if waits then
    add_spent(spent, call.org, ahead, #call.own)
    if #spent == 0 then spent = {str(#call.own), str(now)} end
  end
  return 'limited', spent
end
local function enqueue(call, id, nonce)
  local q, displaced = call.q, nil
  if size_of(q) >= 256 then
    displaced = find(q, handle_in(redis.call('ZRANGE', q.queue, -1, -1)[1]))
    if displaced then take_out(q, displaced) end
  end
  local tag = tag_of(q, call.caller)
  local arrival = tonumber(redis.call('HGET', q.served, 'arrivals') or '0')
  local handle = ARGV[2] .. '.' .. call.waiter
  local member = string.format('%016.0f:', arrival) .. call.caller .. ':' .. handle
  redis.call('HSET', q.served, 'arrivals', str(arrival + 1))
  redis.call('ZADD', q.tags, str(tag + 1), call.caller)
  redis.call('ZADD', q.queue, str(tag), member)
  redis.call('HSET', q.waiting, handle,
             text_of({member = member, replica = ARGV[2], waiter = call.waiter, latest = call.latest, since = now,
                      id = id, nonce = nonce, own = call.own, org = call.org}))
  local life = math.ceil((call.latest - now) / 1000) + 60000
  for _, key in pairs(q) do
    if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, str(life)) end
  end
  if displaced then refuse(displaced, size_of(q)) end
end
local function spend(call, word, id, nonce)
  take(call.own)
  if word == 'fresh' then
    take(call.org)
    return reply('fresh', now, now)
  end
  enqueue(call, id, nonce)
  return reply('waits', next_turn(call.q), size_of(call.q))
end
)lua";

// A Redis that was started anew, or another that has taken its place, may have lost the last writes. Replicas
// that live notice, and write theirs again, within the time that request_ids unknown there are in quarantine.
constexpr std::string_view kHello = R"lua(
local told, info = pcall(redis.call, 'INFO', 'server')
local run = told and string.match(info, 'run_id:(%w+)') or ''
local epoch = redis.call('HMGET', P .. 'epoch', 'id', 'quarantine', 'created', 'run')
local id, quarantine = epoch[1], tonumber(epoch[2] or '0')
if run == '' then run = epoch[4] or '' end
local behind = write < tonumber(ARGV[4]) and 1 or 0
write = math.max(write, tonumber(ARGV[4]))
if not id and ARGV[7] ~= '1' then return reply('none') end
renew()
if not id then
  id = ARGV[6]
  redis.call('HSET', P .. 'epoch', 'id', id, 'created', str(now))
  if ARGV[8] == '1' then quarantine = now + tonumber(ARGV[9]) end
else
  if ARGV[1] ~= '' and ARGV[1] ~= id then quarantine = math.max(quarantine, tonumber(epoch[3]) + tonumber(ARGV[9])) end
  if run ~= (epoch[4] or run) then quarantine = math.max(quarantine, now + 2000000) end
end
redis.call('HSET', P .. 'epoch', 'quarantine', str(quarantine), 'run', run)
return reply('epoch', id, quarantine, behind)
)lua";

constexpr std::string_view kBeat = R"lua(
return reply('ok', redis.call('ZCOUNT', P .. 'ids', '(' .. str(now), '+inf'))
)lua";

constexpr std::string_view kAdmit = R"lua(
local id, digest, nonce = ARGV[6], ARGV[7], ARGV[8]
local key = P .. 'r:' .. id
local entry = redis.call('HMGET', key, 'digest', 'state', 'expires', 'owner', 'nonce', 'sealed', 'intent', 'reason',
                         'sequence', 'code')
if entry[1] and tonumber(entry[3]) > now then
  if entry[1] ~= digest then return reply('reused') end
  if entry[2] == 'running' then return reply('running', alive(entry[4]) and 1 or 0, entry[4], entry[5]) end
  if entry[2] == 'token' then return reply('token', entry[6], entry[7]) end
  return reply('unknown', entry[8], entry[9], entry[10])
end
if ARGV[9] == 'caller' and now < tonumber(epoch[2]) then return reply('quarantined', tonumber(epoch[2])) end
if redis.call('ZCOUNT', P .. 'ids', '(' .. str(now), '+inf') >= tonumber(ARGV[11]) then
  local first = redis.call('ZRANGEBYSCORE', P .. 'ids', '(' .. str(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return reply('full', tonumber(first[2] or '0'))
end
local call = read_call(12)
if #call.org > 0 then serve(call.q) end
local word, spent = judge(call)
if word == 'limited' then return reply('limited', unpack(spent)) end
number_write()
redis.call('DEL', key)
redis.call('HSET', key, 'digest', digest, 'state', 'running', 'owner', ARGV[2], 'nonce', nonce)
expire(key, id, now + tonumber(ARGV[10]))
return spend(call, word, id, nonce)
)lua";

constexpr std::string_view kSpend = R"lua(
local call = read_call(6)
if #call.org > 0 then serve(call.q) end
local word, spent = judge(call)
if word == 'limited' then return reply('limited', unpack(spent)) end
return spend(call, word, '-', '-')
)lua";

constexpr std::string_view kCheck = R"lua(
local call = read_call(6)
if #call.org > 0 then serve(call.q) end
local word, spent = judge(call)
if word == 'limited' then return reply('limited', unpack(spent)) end
return reply(word)
)lua";

constexpr std::string_view kTurns = R"lua(
local at = 6
local read = {}
for i = 1, tonumber(ARGV[at]) do read[ARGV[at + i]] = true end
at = at + 1 + tonumber(ARGV[at])
local overdue = at
at = at + 1 + 2 * tonumber(ARGV[at])
for i = at, #ARGV do serve(queue_of(ARGV[i])) end
for i = 1, tonumber(ARGV[overdue]) do
  local q = queue_of(ARGV[overdue + 2 * i - 1])
  local w = find(q, ARGV[2] .. '.' .. ARGV[overdue + 2 * i])
  if w then
    local ahead = redis.call('ZRANK', q.queue, w.member) or 0
    take_out(q, w)
    refuse(w, ahead)
  end
end
local list, news, dropped = P .. 'g:' .. ARGV[2], {}, false
for _, line in ipairs(redis.call('LRANGE', list, 0, -1)) do
  if read[string.match(line, '^%S+')] then dropped = true else news[#news + 1] = line end
end
if dropped then
  redis.call('DEL', list)
  for _, line in ipairs(news) do redis.call('RPUSH', list, line) end
  if #news > 0 then redis.call('PEXPIRE', list, 60000) end
end
local turns = {}
for i = at, #ARGV do
  local q = queue_of(ARGV[i])
  turns[#turns + 1] = next_turn(q)
  turns[#turns + 1] = size_of(q)
end
return reply('turns', news, unpack(turns))
)lua";

constexpr std::string_view kLeave = R"lua(
if now <= tonumber(ARGV[6]) then return reply('early') end
local id, nonce, waiter, q = ARGV[7], ARGV[8], ARGV[9], queue_of(ARGV[10])
local own, at = read_charges(11)
local org = read_charges(at)
local w = find(q, ARGV[2] .. '.' .. waiter)
if w then
  take_out(q, w)
  put_back(w.own, w.since)
else
  local list, news = P .. 'g:' .. ARGV[2], redis.call('LRANGE', P .. 'g:' .. ARGV[2], 0, -1)
  for i, line in ipairs(news) do
    if string.match(line, '^%S+') == waiter then
      local own_at, org_at = string.match(line, '^%S+ granted (%d+) (%d+)$')
      if own_at then
        put_back(own, tonumber(own_at))
        put_back(org, tonumber(org_at))
      end
      table.remove(news, i)
      redis.call('DEL', list)
      for _, other in ipairs(news) do redis.call('RPUSH', list, other) end
      if #news > 0 then redis.call('PEXPIRE', list, 60000) end
      break
    end
  end
end
if id ~= '-' then forget(id, nonce) end
return reply('ok')
)lua";

constexpr std::string_view kGiveBack = R"lua(
local own, at = read_charges(8)
put_back(own, tonumber(ARGV[6]))
put_back(read_charges(at), tonumber(ARGV[7]))
return reply('ok')
)lua";

constexpr std::string_view kLevels = R"lua(
-- A caller may have more limits than Lua unpacks.
local levels = reply('levels')
for _, charge in ipairs(read_charges(6)) do levels[#levels + 1] = full_at(charge) end
return levels
)lua";

// Who writes again what was lost has the time that it takes.
constexpr std::string_view kPut = R"lua(
number_write()
if ARGV[6] == '1' and now < tonumber(epoch[2]) then
  redis.call('HSET', P .. 'epoch', 'quarantine', str(math.max(tonumber(epoch[2]), now + 2000000)))
end
for at = 7, #ARGV, 11 do
  local id, digest, nonce, state = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local expires = now - tonumber(ARGV[at + 4]) + tonumber(ARGV[at + 5])
  local key = P .. 'r:' .. id
  local entry = redis.call('HMGET', key, 'digest', 'state', 'nonce')
  local absent = not entry[1]
  -- What runs is ended by who runs it; what is unknown may become known. A call of an earlier life of the replica
  -- has another nonce, and is over.
  local ends = entry[3] == nonce and state ~= 'running' and (entry[2] == 'running' or entry[2] == 'unknown')
  local over = state == 'unknown' and entry[1] == digest and entry[2] == 'running'
  if expires > now and (absent or ends or over) then
    redis.call('DEL', key)
    redis.call('HSET', key, 'digest', digest, 'state', state, 'owner', ARGV[2], 'nonce', nonce, 'sealed',
               ARGV[at + 6], 'intent', ARGV[at + 7], 'reason', ARGV[at + 8], 'sequence', ARGV[at + 9], 'code',
               ARGV[at + 10])
    expire(key, id, expires)
  end
end
return reply('ok')
)lua";

template <class... Parts>
std::string Join(Parts... parts) {
  std::string text;
  (text.append(parts), ...);
  return text;
}

}  // namespace

RedisScript::RedisScript(std::string text, Kind kind) : text_(std::move(text)), kind_(kind) {
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<const unsigned char*>(text_.data()), text_.size(), digest.data());
  digest_ = Hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

const RedisScripts& RedisScripts::Get() {
  static const RedisScripts scripts{
      .hello = RedisScript(Join(kClock, kHello), RedisScript::Kind::kGreeting),
      .beat = RedisScript(Join(kClock, kContact, kBeat)),
      .admit = RedisScript(Join(kClock, kContact, kLedger, kLimits, kQueue, kAdmit)),
      .spend = RedisScript(Join(kClock, kContact, kLedger, kLimits, kQueue, kSpend)),
      .check = RedisScript(Join(kClock, kContact, kLedger, kLimits, kQueue, kCheck)),
      .turns = RedisScript(Join(kClock, kContact, kLedger, kLimits, kQueue, kTurns)),
      .leave = RedisScript(Join(kClock, kContact, kLedger, kLimits, kQueue, kLeave)),
      .give_back = RedisScript(Join(kClock, kContact, kLimits, kGiveBack)),
      .levels = RedisScript(Join(kClock, kContact, kLimits, kLevels)),
      .put = RedisScript(Join(kClock, kContact, kLedger, kPut)),
  };
  return scripts;
}

}  // namespace tokend::state
