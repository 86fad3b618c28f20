-- Renews the replica's lease, and counts the ledger.
--
-- Keys: {tokend}:ids (see ledger), {tokend}:p:<replica> (see clock).
-- Arguments: the five of clock.
-- Answer:
--   ok  count, quarantine's end    count: how many request_ids are known
-- include clock
-- include contact
return reply('ok', redis.call('ZCOUNT', PREFIX .. 'ids', '(' .. text_of(now), '+inf'), quarantine_ends)
