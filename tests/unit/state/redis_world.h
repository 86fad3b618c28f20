#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "daemon/state/redis/connection.h"
#include "daemon/state/redis/redis_state.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/turned_loop.h"
#include "tests/unit/state/state_test.h"

namespace tokend::state {

// Replicas on one real Redis, all on one loop that the test turns.
class RedisWorld : public StateTest {
 protected:
  struct Replica {
    std::unique_ptr<RedisConnection> connection;
    std::unique_ptr<RedisState> state;
    RedisState* operator->() const { return state.get(); }
    operator State&() const { return *state; }  // NOLINT: a replica is its state
  };

  explicit RedisWorld(fakes::RedisServer::Options options = {}) : server_(std::move(options)) {
    // As if it had served before. Otherwise the first replica of each test would wait for others.
    server_.Ask({"HSET", "{tokend}:epoch", "id", "first", "created", "0", "quarantine", "0"});
  }

  // A replica that has made contact with Redis.
  Replica& Start(config::OnRedisFailure on_failure = config::OnRedisFailure::kDeny) {
    Replica& replica = Begin(on_failure);
    EXPECT_TRUE(InContact(replica));
    return replica;
  }
  // A replica that has yet to make contact.
  Replica& Begin(config::OnRedisFailure on_failure = config::OnRedisFailure::kDeny) {
    Replica& replica = replicas_.emplace_back();
    replica.connection = std::make_unique<RedisConnection>(
        loop_, RedisConnection::Options{.address = config::UnixAddress{server_.socket()},
                                        .username = username_,
                                        .password_file = password_file_,
                                        .reply_timeout = timeout_});
    replica.state = std::make_unique<RedisState>(
        loop_, *replica.connection, RedisState::Options{requests_, on_failure, Secret(std::string(32, key_))},
        Observer{.on_entries = [this](std::size_t entries) { entries_ = entries; }});
    return replica;
  }
  // Ends it as kill -9 ends a process.
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

  bool RunUntil(absl::FunctionRef<bool()> done,
                std::chrono::seconds limit = std::chrono::seconds(30)) override {
    return loop_.RunUntil(done, limit);
  }
  TimePoint Clock() override { return loop::SystemClock().Now(); }

  // How many keys in Redis begin so.
  std::size_t Keys(const std::string& begin) const {
    const std::string keys = server_.Ask({"KEYS", "{tokend}:" + begin + "*"});
    return keys.empty() ? 0 : static_cast<std::size_t>(std::count(keys.begin(), keys.end(), '\n')) + 1;
  }
  // How many calls wait in the organization's queue.
  std::size_t Waiting() const { return std::stoul(server_.Ask({"HLEN", "{tokend}:w:acme"})); }
  bool AwaitWaiting(std::size_t count) {
    return loop_.RunUntil([this, count] { return Waiting() == count; });
  }

  std::string username_;
  std::string password_file_;
  char key_ = 'k';                            // the encryption key's bytes
  std::chrono::milliseconds timeout_{10000};  // long enough for a busy machine
  config::Requests requests_{.remember = std::chrono::minutes(10), .max_entries = 1000};
  fakes::RedisServer server_;
  fakes::TurnedLoop loop_;
  std::size_t entries_ = 0;
  std::deque<Replica> replicas_;
};

}  // namespace tokend::state
