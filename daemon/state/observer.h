#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "daemon/base/result.h"

namespace tokend::state {

// Told of the state's size and of its queues, for metrics. Any of them may be empty. Loop thread.
struct Observer {
  std::function<void(std::size_t entries)> on_entries = {};  // request_ids known
  std::function<void(const std::string& organization, std::size_t waiting)> on_queue = {};
  std::function<void(std::chrono::nanoseconds waited)> on_turn = {};  // whoever waited got its turn
  // What replicas share is within reach again, or is not, and why. Told of changes.
  std::function<void(const Status& reach)> on_reach = {};
};

}  // namespace tokend::state
