-- Writes what the replica knows of request_ids: outcomes, and after a loss also what runs.
--
-- Keys: those of the ledger, {tokend}:epoch (see contact).
-- Arguments, after the five of clock:
--   6   rewrites    1 if the replica writes again what Redis may have lost
--   7…  of each request_id twelve: request_id, digest, target, nonce, state, age (since when it is remembered), life
--       (for how long), sealed, intent, reason, sequence, code
-- Answer:
--   ok
-- include clock
-- include contact
-- include ledger
local rewrites = ARGV[6] == '1'
local entries = {}
for at = 7, #ARGV, 12 do
  entries[#entries + 1] = {
    request_id = ARGV[at], digest = ARGV[at + 1], target = ARGV[at + 2], nonce = ARGV[at + 3], state = ARGV[at + 4],
    expires = now - tonumber(ARGV[at + 5]) + tonumber(ARGV[at + 6]), sealed = ARGV[at + 7], intent = ARGV[at + 8],
    reason = ARGV[at + 9], sequence = ARGV[at + 10], code = ARGV[at + 11]}
end

number_write()
-- A quarantine lasts until those who write again what was lost have finished.
if rewrites and now < quarantine_ends then
  redis.call('HSET', PREFIX .. 'epoch', 'quarantine', text_of(math.max(quarantine_ends, now + REWRITE_TIME)))
end
for _, entry in ipairs(entries) do
  local key = entry_key(entry.request_id)
  local known = redis.call('HMGET', key, 'digest', 'state', 'nonce')
  local known_digest, known_state, known_nonce = known[1], known[2], known[3]
  -- The replica that runs a call ends its claim, and may learn later what was unknown.
  local ends = known_nonce == entry.nonce and entry.state ~= 'running' and
               (known_state == 'running' or known_state == 'unknown')
  -- A call that ran in an earlier life of the replica had another nonce, and is over.
  local is_same = known_digest == entry.digest or entry.digest == ''
  local is_over = entry.state == 'unknown' and is_same and known_state == 'running'
  if entry.expires > now and (not known_digest or ends or is_over) then
    redis.call('DEL', key)
    redis.call('HSET', key, 'digest', entry.digest, 'target', entry.target, 'state', entry.state, 'owner', replica,
               'nonce', entry.nonce, 'sealed', entry.sealed, 'intent', entry.intent, 'reason', entry.reason, 'sequence', entry.sequence,
               'code', entry.code)
    expire_at(entry.request_id, entry.expires)
  end
end
return reply('ok')
