#include "daemon/rpc/call_gate.h"

namespace tokend::rpc {

std::variant<CallGate::Pass, Reason> CallGate::Enter() {
  const std::lock_guard lock(mutex_);
  if (closed_) return Reason::kShuttingDown;
  if (calls_ >= max_in_flight_) return Reason::kOverloaded;
  metrics_.SetCallsInFlight(++calls_);
  return Pass(shared_from_this());
}

void CallGate::Leave() {
  const std::lock_guard lock(mutex_);
  metrics_.SetCallsInFlight(--calls_);
  if (calls_ == 0) idle_.notify_all();
}

void CallGate::SetMaxInFlight(std::size_t max_in_flight) {
  const std::lock_guard lock(mutex_);
  max_in_flight_ = max_in_flight;
}

void CallGate::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

std::size_t CallGate::calls_in_flight() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

bool CallGate::WaitIdle(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return idle_.wait_until(lock, deadline, [this] { return calls_ == 0; });
}

}  // namespace tokend::rpc
