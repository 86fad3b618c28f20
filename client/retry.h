#pragma once

#include <chrono>
#include <optional>

#include "client/client.h"

namespace tokend::client {

// The time between attempts. Called from whichever thread calls the Client.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::steady_clock::time_point Now() = 0;
  virtual void Sleep(std::chrono::nanoseconds duration) = 0;
};

// The machine's own; never destroyed.
Clock& SteadyClock();

// One attempt's failure, as far as trying again depends on it.
struct Failed {
  Status status;     // with its details
  bool has_details;  // the status carried google.rpc details, whoever's
  bool has_retry_pushback;
};

// How long to wait before attempt `attempts` + 1; nothing where there must be none. The rules are the table
// at Client.
std::optional<std::chrono::nanoseconds> RetryDelay(const Failed& failed, int attempts);

}  // namespace tokend::client
