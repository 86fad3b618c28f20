-- Says when buckets will be full again.
--
-- Keys: those of the limits.
-- Arguments, after the five of clock:
--   6…  charges
-- Answer:
--   levels  the time of each; 0 or past if it is full
-- include clock
-- include contact
-- include limits
local charges = read_charges(6)

-- One by one: there may be more limits than Lua's unpack takes.
local levels = reply('levels')
for _, charge in ipairs(charges) do levels[#levels + 1] = full_at(charge) end
return levels
