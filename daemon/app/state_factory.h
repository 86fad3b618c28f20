#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "daemon/audit/history.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/memory/memory_state.h"
#include "daemon/state/redis/connection.h"
#include "daemon/state/redis/redis_state.h"
#include "daemon/state/redis/secrets.h"
#include "daemon/state/state.h"

namespace tokend::app {

// The home of request_ids and limits that the configuration chooses: this process's memory, or Redis.
class StateHome {
 public:
  // `secrets`: those of Redis, where Redis is the home.
  StateHome(const config::Config& config, std::optional<state::RedisSecrets> secrets, loop::EventLoop& loop,
            state::Observer observer);

  state::State& state() { return *state_; }

  // Tells the ledger the requests of earlier runs: none of these request_ids then leads to a second POST.
  // `gap`: the log's last one. It begins a quarantine in memory; Redis tells itself what it has lost, and a
  // relay's request_ids are known to the central tokend. Before the first request.
  void Restore(audit::PastRequests past, const std::optional<audit::Gap>& gap, const loop::Clock& clock);

  // Waits up to 5 s until Redis is within reach: a replica that starts beside a Redis that works then refuses
  // no request. Returns at once where the home is memory, and early when the daemon is told to stop.
  void AwaitReach() const;

 private:
  std::optional<state::RedisConnection> redis_;
  std::unique_ptr<state::State> state_;
  state::MemoryState* own_ = nullptr;          // `state_`, where it is in memory
  const state::RedisState* shared_ = nullptr;  // `state_`, where it is in Redis
  const bool is_relay_;
  const std::chrono::milliseconds remember_;
};

}  // namespace tokend::app
