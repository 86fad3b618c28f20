#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "daemon/base/result.h"

namespace tokend::state {

// Hears of the state's size, its queues and its reach, for metrics and the log. Each may be empty. Loop
// thread.
struct Observer {
  std::function<void(std::size_t entries)> on_entries = {};  // how many request_ids are known
  std::function<void(const std::string& organization, std::size_t waiting)> on_queue = {};
  std::function<void(std::chrono::nanoseconds waited)> on_turn = {};  // a call that waited got its turn
  // Redis has come within reach, or out of it, and why. Called at each change.
  std::function<void(const Status& reach)> on_reach = {};
};

}  // namespace tokend::state
