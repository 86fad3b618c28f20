-- Maps an audit record to the Elastic Common Schema. deploy/audit.md describes the mapping.

-- For each event: category, type and, where there is one, outcome. A test compares this table with the
-- daemon's list of events, with vector/tokend.yaml and with deploy/audit.md.
local events = {
  ["token.intended"] = {"iam", "info"},
  ["token.issued"] = {"iam", "creation", "success"},
  ["token.withheld"] = {"iam", "creation", "success"},
  ["token.refused"] = {"iam", "creation", "failure"},
  ["token.unknown"] = {"iam", "creation", "unknown"},
  ["token.replayed"] = {"iam", "info", "success"},
  ["request.unauthenticated"] = {"authentication", "info", "failure"},
  ["request.denied"] = {"api", "denied", "failure"},
  ["request.limited"] = {"api", "denied", "failure"},
  ["request.invalid"] = {"api", "info", "failure"},
  ["request.failed"] = {"api", "info", "failure"},
  ["request.validated"] = {"api", "allowed", "success"},
  ["config.reloaded"] = {"configuration", "change", "success"},
  ["key.reloaded"] = {"configuration", "change", "success"},
  ["config.rejected"] = {"configuration", "change", "failure"},
  ["key.rejected"] = {"configuration", "change", "failure"},
  ["daemon.started"] = {"process", "start", "success"},
  ["daemon.stopped"] = {"process", "end", "success"},
  ["checkpoint"] = {"process", "info"},
  ["audit.recovered"] = {"process", "info"},
}

-- Removes the key from the table, and returns its value. The table may be nil.
local function take(from, key)
  if from == nil then return nil end
  local value = from[key]
  from[key] = nil
  return value
end

-- The address and the port of an IP peer, "ipv4:192.0.2.7:4711" or "ipv6:[2001:db8::7]:4711".
local function address_of(peer)
  if peer == nil then return nil end
  local ip, port = string.match(peer, "^ipv4:([%d.]+):?(%d*)$")
  if ip == nil then ip, port = string.match(peer, "^ipv6:%[([%x:.]+)%]:?(%d*)$") end
  return ip, tonumber(port)
end

function to_ecs(tag, timestamp, record)
  local seq = take(record, "seq")
  -- A line that a crash cut off is not a record. The next file's audit.recovered reports it.
  local time = take(record, "time")
  if seq == nil or time == nil or record.prev == nil then return -1, timestamp, record end
  local action = take(record, "event")
  local kind = events[action] or {"process", "info"} -- an event of a newer version
  local upstream = record.upstream
  local error_code = take(upstream, "error_code")
  local latency = take(upstream, "latency_us")
  local peer = take(record.caller, "peer")
  local ip, port = address_of(peer)
  local ecs = {
    -- A log that begins anew repeats seq, and for its first line also prev.
    id = string.format("%.0f-%s-%s", seq, string.sub(record.prev, 1, 16), time),
    ecs = {version = "8.11.0"},
    message = take(record, "detail"),
    event = {
      kind = "event", action = action, category = {kind[1]}, type = {kind[2]}, outcome = kind[3], sequence = seq,
      reason = take(record, "reason"), original = take(record, "line"),
      duration = latency and latency * 1000,
    },
    user = {name = take(record.caller, "name")},
    client = {address = peer, ip = ip, port = port},
    organization = {name = take(record.target, "organization")},
    rule = {name = take(record, "grant"), version = take(record, "config")},
    http = {response = {status_code = take(upstream, "http_status")}},
    error = error_code and {code = string.format("%.0f", error_code)},
    tokend = record,
  }
  return 2, timestamp, ecs
end
