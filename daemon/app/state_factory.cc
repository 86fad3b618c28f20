#include "daemon/app/state_factory.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "daemon/app/signals.h"

namespace tokend::app {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kLongestReach{5};
constexpr std::chrono::milliseconds kReachLook{10};

// Makes the state's names of many request_ids: what stands for a caller takes a digest, so it is made once.
class LedgerIds {
 public:
  // Valid until the next call.
  const std::string& Of(const audit::RecordView& intent) {
    const audit::RecordView::Caller& caller = intent.caller;
    caller_.assign(caller.name).append(1, '\0').append(caller.on_behalf_of);
    std::string& prefix = prefixes_[caller_];
    if (prefix.empty()) prefix = state::LedgerPrefix(caller.name, caller.on_behalf_of);
    return id_.assign(prefix).append(intent.request_id);
  }

 private:
  absl::flat_hash_map<std::string, std::string> prefixes_;  // by the names of the caller
  std::string caller_;
  std::string id_;
};

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

void StateHome::Restore(audit::PastRequests past, const std::optional<audit::Gap>& gap,
                        const loop::Clock& clock) {
  // Where the clock was set back, a record's time may lie ahead: the record then counts as made now.
  const auto made_at = [now = clock.Now(), wall_now = clock.WallNow()](audit::RecordTime time) {
    return now - std::max(std::chrono::ceil<nanoseconds>(wall_now - time), nanoseconds(0));
  };
  if (gap && own_ != nullptr && !is_relay_)
    own_->BeginQuarantine(made_at(gap->ends) + remember_, gap->detail);
  LedgerIds ids;
  // Each is freed in turn, so that the ledger grows in its memory.
  for (; !past.empty(); past.pop_front()) {
    const audit::PastRequest& request = past.front();
    const audit::RecordView intent = request.texts.Read();
    const audit::RecordView::Target& target = intent.target;
    state_->Restore(ids.Of(intent), state::ParseDigest(intent.digest),
                    {std::string(target.organization),
                     std::string(target.application),
                     {target.scopes.begin(), target.scopes.end()},
                     std::string(target.description)},
                    request.ended_by, {made_at(request.time), request.intent});
  }
}

void StateHome::AwaitReach() const {
  const auto deadline = steady_clock::now() + kLongestReach;
  while (shared_ != nullptr && !shared_->reach().ok() && steady_clock::now() < deadline && !IsStopPending()) {
    std::this_thread::sleep_for(kReachLook);
  }
}

}  // namespace tokend::app
