-- Renews the replica's lease, counts the ledger, and compares what all replicas must have alike.
--
-- Keys: {tokend}:ids (see ledger), {tokend}:p:<replica> (see clock), and
--   {tokend}:same:<setting>   text: what the setting is compared by. It expires SETTING_LIFE_MS after the last replica
--                             that has it so.
-- Arguments, after the five of clock:
--   6…  of each setting two: its name, and what it is compared by
-- Answer:
--   ok  count, quarantine's end, names    count: how many request_ids are known; names: the settings in which another
--                                        replica differs
-- include clock
-- include contact
local differences = {}
for at = 6, #ARGV, 2 do
  local key = PREFIX .. 'same:' .. ARGV[at]
  local known = redis.call('GET', key)
  if known and known ~= ARGV[at + 1] then
    differences[#differences + 1] = ARGV[at]
  else
    redis.call('SET', key, ARGV[at + 1])
    redis.call('PEXPIRE', key, SETTING_LIFE_MS)
  end
end
return reply('ok', redis.call('ZCOUNT', PREFIX .. 'ids', '(' .. text_of(now), '+inf'), quarantine_ends, differences)
