-- Included by the scripts that spend or read limits. The same algorithm as gcra.h.
--
-- Keys:
--   {tokend}:l:<limit>   text: when the limit's bucket will be full again. The key is absent if the bucket is full.
-- Arguments: charges are given as their count and then, for each, limit, interval and tolerance.
local function limit_key(charge) return PREFIX .. 'l:' .. charge.limit end

-- Reads charges from argument `at` on. Returns them, and where the next argument is.
local function read_charges(at)
  local charges, count = {}, tonumber(ARGV[at])
  for i = 1, count do
    local first = at + 3 * i - 2
    charges[i] = {limit = ARGV[first], interval = tonumber(ARGV[first + 1]), tolerance = tonumber(ARGV[first + 2])}
  end
  return charges, at + 1 + 3 * count
end

local function full_at(charge) return tonumber(redis.call('GET', limit_key(charge)) or '0') end
local function set_full_at(charge, full)
  if full <= now then redis.call('DEL', limit_key(charge)) return end
  redis.call('SET', limit_key(charge), text_of(full))
  redis.call('PEXPIREAT', limit_key(charge), text_of(math.ceil(full / 1000)))
end

-- When a token can be had, if `ahead` others take theirs first: of one limit, and of all of them.
local function earliest(charge, ahead)
  return math.max(math.max(full_at(charge), now) - charge.tolerance + ahead * charge.interval, now)
end
local function turn_of(charges, ahead)
  local turn = now
  for _, charge in ipairs(charges) do turn = math.max(turn, earliest(charge, ahead)) end
  return turn
end

local function take(charges)
  for _, charge in ipairs(charges) do set_full_at(charge, math.max(full_at(charge), now) + charge.interval) end
end
-- Gives back what was taken at `spent_at`, less what has grown back since.
local function give_back(charges, spent_at)
  for _, charge in ipairs(charges) do
    local full = full_at(charge)
    local worth = math.min(math.max(charge.interval - (now - spent_at), 0), charge.interval)
    if full > now and worth > 0 then set_full_at(charge, full - worth) end
  end
end

-- Adds to `list` each of these charges that has no token now: its index, of which the first is `first`, and until when.
local function add_spent(list, charges, ahead, first)
  for i, charge in ipairs(charges) do
    local spent_until = earliest(charge, ahead)
    if spent_until > now then
      list[#list + 1] = text_of(first + i - 1)
      list[#list + 1] = text_of(spent_until)
    end
  end
end
