-- Included first by every script: the time, the replica that calls, and the form of an answer.
--
-- Times and durations are microseconds, times by Redis's clock since 1970. Lua's numbers are doubles, which hold
-- whole numbers exactly up to 2^53: this clock gets there in the year 2255.
--
-- Keys:
--   {tokend}:p:<replica>   hash: lease, the time until which the replica counts as alive; write, the number of its
--                          last write to the ledger
-- Arguments 1 to 5 of every script:
--   1  known_epoch   the epoch that the replica knows, or empty
--   2  replica       the replica's name
--   3  run_until     the script does nothing after this time
--   4  known_write   the replica's last write to the ledger of which it had an answer
--   5  this_write    the number of the write that this script may do; 0 if it does none
-- Answer of every script: a list of a word, the time, the number of the write that was done (0 if none), and more.
--   late   nothing was done: run_until has passed
-- The constants in capitals come from C++ (scripts.cc).
local known_epoch, replica, run_until = ARGV[1], ARGV[2], tonumber(ARGV[3])
local known_write, this_write = tonumber(ARGV[4]), tonumber(ARGV[5])

local function text_of(number) return string.format('%.0f', number) end
local function replica_key(name) return PREFIX .. 'p:' .. name end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local write_done = 0
local function reply(word, ...) return {word, now, write_done, ...} end
if now > run_until then return reply('late') end

local contact = redis.call('HMGET', replica_key(replica), 'lease', 'write')
local lease, last_write = tonumber(contact[1] or '0'), tonumber(contact[2] or '0')
local function renew_lease()
  redis.call('HSET', replica_key(replica), 'lease', text_of(now + LEASE), 'write', text_of(last_write))
  redis.call('PEXPIRE', replica_key(replica), REPLICA_LIFE_MS)
end
