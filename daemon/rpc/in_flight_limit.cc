#include "daemon/rpc/in_flight_limit.h"

namespace tokend::rpc {

std::optional<InFlightLimit::Place> InFlightLimit::TryEnter(std::string_view caller) {
  const std::lock_guard lock(mutex_);
  if (!shares_.Take(caller)) return std::nullopt;
  metrics_.SetCallsInFlight(shares_.taken());
  return Place(shared_from_this(), std::string(caller));
}

void InFlightLimit::GiveBack(std::string_view caller) {
  const std::lock_guard lock(mutex_);
  shares_.GiveBack(caller);
  metrics_.SetCallsInFlight(shares_.taken());
  if (shares_.taken() == 0) idle_.notify_all();
}

void InFlightLimit::Resize(std::size_t max_in_flight, Shares::Policy policy) {
  const std::lock_guard lock(mutex_);
  shares_.Resize(max_in_flight, policy);
}

std::size_t InFlightLimit::calls_in_flight() const {
  const std::lock_guard lock(mutex_);
  return shares_.taken();
}

bool InFlightLimit::WaitIdle(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return idle_.wait_until(lock, deadline, [this] { return shares_.taken() == 0; });
}

}  // namespace tokend::rpc
