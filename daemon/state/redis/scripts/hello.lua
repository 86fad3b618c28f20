-- Makes contact: the replica says which epoch it knows, and learns which one this Redis has.
--
-- A Redis that was restarted, or another one that has taken its place, may have lost the last writes. Living replicas
-- notice that and write theirs again. For that long, request_ids that Redis does not know are in quarantine.
--
-- Keys: {tokend}:epoch (see contact), {tokend}:p:<replica> (see clock).
-- Arguments, after the five of clock:
--   6  new_epoch        the id of the epoch that the replica would begin
--   7  may_begin        1 if it may begin one
--   8  in_quarantine    1 if a new epoch begins in quarantine: the replica knows of a time before it
--   9  remember         how long request_ids are remembered
--   10 clock_jumped     1 if Redis's clock was set by more than `remember` while the replica knew this Redis
-- Answer:
--   none                                        there is no epoch, and the replica may not begin one
--   epoch  id, quarantine's end, lost writes    1 if Redis has lost writes of this replica, otherwise 0
-- include clock
local new_epoch, may_begin, in_quarantine, remember = ARGV[6], ARGV[7] == '1', ARGV[8] == '1', tonumber(ARGV[9])
local clock_jumped = ARGV[10] == '1'
local EPOCH = PREFIX .. 'epoch'

local told, info = pcall(redis.call, 'INFO', 'server')
local run = told and string.match(info, 'run_id:(%w+)') or ''
local epoch = redis.call('HMGET', EPOCH, 'id', 'quarantine', 'created', 'run')
local id, quarantine, created, last_run = epoch[1], tonumber(epoch[2] or '0'), epoch[3], epoch[4]
if run == '' then run = last_run or '' end
local lost_writes = last_write < known_write and 1 or 0
last_write = math.max(last_write, known_write)
if not id and not may_begin then return reply('none') end
renew_lease()
if not id then
  id = new_epoch
  redis.call('HSET', EPOCH, 'id', id, 'created', text_of(now))
  if in_quarantine then quarantine = now + remember end
else
  if known_epoch ~= '' and known_epoch ~= id then quarantine = math.max(quarantine, tonumber(created) + remember) end
  if run ~= (last_run or run) then quarantine = math.max(quarantine, now + REWRITE_TIME) end
end
if clock_jumped then quarantine = now + remember end
-- Redis's clock may have been set back since the end was set.
quarantine = math.min(quarantine, now + math.max(remember, REWRITE_TIME))
redis.call('HSET', EPOCH, 'quarantine', text_of(quarantine), 'run', run)
return reply('epoch', id, quarantine, lost_writes)
