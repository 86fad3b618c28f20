#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/state/redis_connection.h"
#include "daemon/state/redis_state.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/turned_loop.h"

namespace tokend::state {

// Replicas on one real Redis, all on one loop in the test's hands.
class RedisWorld : public testing::Test {
 protected:
  // What a call has come to; empty while it waits.
  using Seen = std::optional<Claim>;
  using SeenSpend = std::optional<SpendResult>;

  struct Replica {
    std::unique_ptr<RedisConnection> connection;
    std::unique_ptr<RedisState> state;
    RedisState* operator->() const { return state.get(); }
  };

  explicit RedisWorld(fakes::RedisServer::Options options = {}) : server_(std::move(options)) {
    // As if it had served before: without, each first replica would wait for others.
    server_.Ask({"HSET", "{tokend}:epoch", "id", "first", "created", "0", "quarantine", "0"});
  }

  // One that has made contact with Redis.
  Replica& Start(config::OnRedisFailure on_failure = config::OnRedisFailure::kDeny) {
    Replica& replica = Begin(on_failure);
    EXPECT_TRUE(InContact(replica));
    return replica;
  }
  // One that is yet to.
  Replica& Begin(config::OnRedisFailure on_failure = config::OnRedisFailure::kDeny) {
    Replica& replica = replicas_.emplace_back();
    replica.connection = std::make_unique<RedisConnection>(
        loop_, RedisConnection::Options{config::UnixAddress{server_.socket()}, username_, Secret(password_),
                                        timeout_});
    replica.state = std::make_unique<RedisState>(
        loop_, *replica.connection, RedisState::Options{requests_, on_failure, Secret(std::string(32, 'k'))},
        Observer{.on_entries = [this](std::size_t entries) { entries_ = entries; }});
    return replica;
  }
  // As a process that was killed.
  static void Kill(Replica& replica) {
    replica.state.reset();
    replica.connection.reset();
  }

  bool InContact(const Replica& replica) {
    return loop_.RunUntil([&replica] { return replica.state->reach().ok(); });
  }
  bool OutOfContact(const Replica& replica) {
    return loop_.RunUntil([&replica] { return !replica.state->reach().ok(); });
  }

  static Admission AdmissionOf(const std::string& id, const std::string& caller = "ci",
                               Charges charges = {}) {
    charges.caller = caller;
    return {.request_id = id,
            .digest = DigestOf(caller, "acme", "ios-app", {"sdk"}, ""),
            .caller = caller,
            .request_id_origin = RequestIdOrigin::kCaller,
            .charges = std::move(charges),
            .latest = loop::SystemClock().Now() + std::chrono::seconds(30)};
  }

  Seen& Admit(Replica& replica, Admission admission) {
    Seen& seen = seen_.emplace_back();
    const std::string id = admission.request_id;
    replica->Admit(std::move(admission), &seen, [&seen](Claim claim) {
      EXPECT_EQ(seen, std::nullopt);
      seen = std::move(claim);
    });
    return seen;
  }
  Seen& Admit(Replica& replica, const std::string& id, const std::string& caller = "ci") {
    return Admit(replica, AdmissionOf(id, caller));
  }
  bool Await(const Seen& seen) {
    return loop_.RunUntil([&seen] { return seen.has_value(); });
  }
  // What the call comes to: "fresh", a bearer, or a reason.
  std::string Outcome(const Seen& seen) {
    if (!Await(seen)) return "nothing";
    return Words(*seen);
  }
  std::string Now(Replica& replica, const std::string& id, const std::string& caller = "ci") {
    return Outcome(Admit(replica, id, caller));
  }
  static std::string Words(const Claim& claim) {
    if (std::holds_alternative<Fresh>(claim)) return "fresh";
    if (const auto* answered = std::get_if<Answered>(&claim))
      return std::string(answered->token->bearer.Expose());
    return std::string(Name(std::get<Failure>(claim).reason));
  }
  static const Failure& FailureIn(const Seen& seen) { return std::get<Failure>(seen.value()); }

  static Answered AnswerOf(const std::string& bearer, std::uint64_t intent = 7) {
    auto token = std::make_shared<Token>();
    token->id = "0123456789abcdef01234567";
    token->scopes = {"sdk"};
    token->bearer = Bearer(bearer);
    return {std::move(token), intent};
  }

  // A bucket of so many tokens, one each interval.
  static Charge ChargeOf(const std::string& name, std::uint64_t burst, std::chrono::milliseconds interval) {
    return {KeyOf({name}), Rate({.name = name, .tokens = 1, .per = interval, .burst = burst}),
            "grant/" + name};
  }
  static Charges Own(const Charge& charge) {
    return {.own = {charge}, .organization = {}, .organization_name = "acme", .caller = {}};
  }
  static Charges Organization(const Charge& charge) {
    return {.own = {}, .organization = {charge}, .organization_name = "acme", .caller = {}};
  }

  static TimePoint Clock() { return loop::SystemClock().Now(); }

  // Keys in Redis that begin so.
  std::size_t Keys(const std::string& begin) const {
    const std::string keys = server_.Ask({"KEYS", "{tokend}:" + begin + "*"});
    return keys.empty() ? 0 : static_cast<std::size_t>(std::count(keys.begin(), keys.end(), '\n')) + 1;
  }

  std::string username_;
  std::string password_;
  std::chrono::milliseconds timeout_{10000};  // a busy machine is no failure
  config::Requests requests_{.remember = std::chrono::minutes(10), .max_entries = 1000};
  fakes::RedisServer server_;
  fakes::TurnedLoop loop_;
  std::size_t entries_ = 0;
  std::deque<Seen> seen_;
  std::deque<Replica> replicas_;
};

}  // namespace tokend::state
