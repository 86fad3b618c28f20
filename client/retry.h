#pragma once

#include <chrono>
#include <optional>

#include "client/client.h"

namespace tokend::client {

// Time between attempts. Called on the threads that call the Client.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::steady_clock::time_point Now() = 0;
  virtual void Sleep(std::chrono::nanoseconds duration) = 0;
};

// The machine's steady clock. Never destroyed.
Clock& SteadyClock();

// The part of a failed attempt that a further attempt depends on.
struct Failed {
  Status status;             // with its details
  bool was_sent = false;     // false: the request has certainly not left
  bool has_details = false;  // the status has google.rpc details, from tokend or from another sender
  bool has_retry_pushback = false;
};

// Whether the daemon has told, by HTTP/2 itself, that it did not process the request.
bool WasNotProcessed(const Failed& failed);

// Whether this attempt at CreateToken may have created a token.
Outcome OutcomeOf(const Failed& failed);

// How long to wait before attempt `attempts` + 1, or nothing where there must be no further attempt. The
// rules are in the table at Client.
std::optional<std::chrono::nanoseconds> RetryDelay(const Failed& failed, int attempts);

}  // namespace tokend::client
