#include "daemon/app/state_factory.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <thread>
#include <utility>
#include <variant>

#include "daemon/app/signals.h"

namespace tokend::app {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kLongestReach{5};
constexpr std::chrono::milliseconds kReachLook{10};

}  // namespace

StateHome::StateHome(const config::Config& config, std::optional<state::RedisSecrets> secrets,
                     loop::EventLoop& loop, state::Observer observer)
    : is_relay_(std::holds_alternative<config::TokendUpstream>(config.upstream)),
      remember_(config.requests.remember) {
  const auto* redis = std::get_if<config::RedisState>(&config.state);
  assert((redis != nullptr) == secrets.has_value());
  if (redis == nullptr) {
    using enum state::MemoryState::OnUnknown;
    auto own = std::make_unique<state::MemoryState>(loop, config.requests, std::move(observer),
                                                    is_relay_ ? kAskAgain : kAnswer);
    own_ = own.get();
    state_ = std::move(own);
    return;
  }
  redis_.emplace(loop, state::RedisConnection::Options{.address = redis->address,
                                                       .username = redis->username,
                                                       .password_file = redis->password_file,
                                                       .tls = redis->tls});
  auto shared = std::make_unique<state::RedisState>(
      loop, *redis_,
      state::RedisState::Options{config.requests, redis->on_failure, std::move(secrets->encryption_key)},
      std::move(observer));
  shared_ = shared.get();
  state_ = std::move(shared);
}

void StateHome::Restore(std::vector<audit::PastRequest> past, const std::optional<audit::Gap>& gap,
                        const loop::Clock& clock) {
  // Where the clock was set back, a record's time may lie ahead: the record then counts as made now.
  const auto made_at = [&clock](audit::RecordTime time) {
    const auto age = std::max(std::chrono::ceil<nanoseconds>(clock.WallNow() - time), nanoseconds(0));
    return clock.Now() - age;
  };
  if (gap && own_ != nullptr && !is_relay_)
    own_->BeginQuarantine(made_at(gap->ends) + remember_, gap->detail);
  for (audit::PastRequest& request : past) {
    state_->Restore(state::LedgerId(request.caller, request.on_behalf_of, request.request_id),
                    state::ParseDigest(request.digest),
                    {std::move(request.organization), std::move(request.application),
                     std::move(request.scopes), std::move(request.description)},
                    {.reason = Reason::kOutcomeUnknown,
                     .detail = "its token may have been created before a restart that lost the bearer",
                     .audit_sequence = request.ended_by},
                    {made_at(request.time), request.intent});
  }
}

void StateHome::AwaitReach() const {
  const auto deadline = steady_clock::now() + kLongestReach;
  while (shared_ != nullptr && !shared_->reach().ok() && steady_clock::now() < deadline && !IsStopPending()) {
    std::this_thread::sleep_for(kReachLook);
  }
}

}  // namespace tokend::app
