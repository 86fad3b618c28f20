-- Gives back charges that were spent and not used, less what has grown back since.
--
-- Keys: those of the limits.
-- Arguments, after the five of clock:
--   6   own_spent_at            when its own charges were spent
--   7   organization_spent_at   when the organization's were
--   8…  its own charges, the organization's charges
-- Answer:
--   ok
-- include clock
-- include contact
-- include limits
local own_spent_at, organization_spent_at = tonumber(ARGV[6]), tonumber(ARGV[7])
local own, next_argument = read_charges(8)
local organization = read_charges(next_argument)

give_back(own, own_spent_at)
give_back(organization, organization_spent_at)
return reply('ok')
