-- Spends charges for a call that was admitted before, for another attempt.
--
-- Keys: those of the limits and queue.
-- Arguments, after the five of clock:
--   6… the call, as in spending
-- Answer:
--   fresh, waits, limited    as in admit
-- include clock
-- include contact
-- include ledger
-- include limits
-- include queue
-- include spending
local call = read_call(6)

local verdict, spent = judge(call)
if verdict == 'limited' then return reply('limited', unpack(spent)) end
return spend(call, verdict, '-', '-')
