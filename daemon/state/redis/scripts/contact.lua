-- Included by every script but hello, after clock: the script runs only if this is the Redis that the replica knows.
--
-- Keys:
--   {tokend}:epoch   hash, the only key that does not expire: id and created (the time) of the epoch; quarantine,
--                    until when a request_id that is not known here may have had its token; run, the run_id of the
--                    server. Redis knows everything that was written since `created`.
-- Answer:
--   lost   nothing was done: Redis has another epoch, or has lost writes of this replica
local epoch = redis.call('HMGET', PREFIX .. 'epoch', 'id', 'quarantine')
local quarantine_ends = tonumber(epoch[2] or '0')
if epoch[1] ~= known_epoch or last_write < known_write then return reply('lost') end

-- At most once a second, so that a script that only reads seldom writes. A lease that ends later than one that begins
-- now is of a time before Redis's clock was set back.
if lease < now + RENEW_LEASE_BELOW or lease > now + LEASE then renew_lease() end

-- A script calls this before it writes to the ledger. It is the first command that needs memory: if memory is short,
-- Redis refuses this one, and nothing is done.
local function number_write()
  write_done = this_write
  last_write = math.max(last_write, this_write)
  renew_lease()
end

local function is_alive(name)
  local ends = tonumber(redis.call('HGET', replica_key(name), 'lease') or '0')
  return ends > now and ends <= now + LEASE
end
