#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/functional/function_ref.h"
#include "daemon/state/memory/memory_state.h"
#include "daemon/state/redis/connection.h"
#include "daemon/state/redis/redis_state.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/simulated_redis.h"
#include "tests/fakes/turned_loop.h"

namespace tokend::state {

// A home of the state, with a loop that the test turns.
class StateHome {
 public:
  virtual ~StateHome() = default;

  // Two replicas of one state. A home that has one replica gives it as both.
  virtual State& a() = 0;
  virtual State& b() = 0;
  virtual void DestroyA() = 0;

  virtual bool RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit) = 0;
  virtual void RunFor(std::chrono::milliseconds duration) = 0;
  virtual TimePoint Clock() = 0;

  // How many calls wait in the organization's queue.
  virtual std::size_t Waiting(const std::string& organization) = 0;
};

// Uses a replica before its first call.
using BeforeFirstCall = std::function<void(State& state, TimePoint now)>;

// On a loop with a clock of its own.
class HandCrankedHome : public StateHome {
 public:
  bool RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit) override {
    const TimePoint end = Clock() + limit;
    loop_.RunPending();
    while (!done()) {
      if (Clock() > end) return false;
      loop_.Advance(std::chrono::milliseconds(1));
    }
    return true;
  }
  void RunFor(std::chrono::milliseconds duration) override { loop_.Advance(duration); }
  TimePoint Clock() override { return loop_.clock().Now(); }

 protected:
  fakes::HandCrankedLoop loop_;
};

class MemoryHome final : public HandCrankedHome {
 public:
  MemoryHome(const config::Requests& requests, const BeforeFirstCall& before)
      : state_(std::make_unique<MemoryState>(
            loop_, requests, Observer{.on_queue = [this](const std::string& organization, std::size_t count) {
              waiting_[organization] = count;
            }})) {
    before(*state_, Clock());
  }
  State& a() override { return *state_; }
  State& b() override { return *state_; }
  void DestroyA() override { state_.reset(); }
  std::size_t Waiting(const std::string& organization) override { return waiting_[organization]; }

 private:
  std::map<std::string, std::size_t> waiting_;
  std::unique_ptr<MemoryState> state_;
};

// Two replicas on one Redis, each with its connection.
template <class Connection>
struct RedisReplicas {
  struct Replica {
    std::unique_ptr<Connection> connection;
    std::unique_ptr<RedisState> state;

    void End() {
      state.reset();
      connection.reset();
    }
  };
  Replica a, b;

  static void Begin(Replica& replica, loop::EventLoop& loop, std::unique_ptr<Connection> connection,
                    const config::Requests& requests) {
    replica.connection = std::move(connection);
    replica.state = std::make_unique<RedisState>(
        loop, *replica.connection,
        RedisState::Options{requests, config::OnRedisFailure::kDeny, Secret(std::string(32, 'k'))});
  }
  bool in_contact() const { return a.state->reach().ok() && b.state->reach().ok(); }
};

class SimulatedRedisHome final : public HandCrankedHome {
 public:
  SimulatedRedisHome(const config::Requests& requests, const BeforeFirstCall& before) {
    redis_.SetHash("{tokend}:epoch", {{"id", "first"}, {"quarantine", "0"}, {"created", "0"}});
    for (auto* replica : {&replicas_.a, &replicas_.b}) {
      replicas_.Begin(*replica, loop_, std::make_unique<fakes::SimulatedConnection>(loop_, redis_), requests);
    }
    before(*replicas_.a.state, Clock());
    EXPECT_TRUE(RunUntil([this] { return replicas_.in_contact(); }, std::chrono::seconds(10)));
  }
  ~SimulatedRedisHome() override {
    replicas_.a.End();
    replicas_.b.End();
    loop_.Discard();
  }
  State& a() override { return *replicas_.a.state; }
  State& b() override { return *replicas_.b.state; }
  void DestroyA() override { replicas_.a.End(); }
  std::size_t Waiting(const std::string& organization) override {
    static const RedisScript kCount("return redis.call('HLEN', ARGV[1])");
    return static_cast<std::size_t>(
        std::get<std::int64_t>(redis_.Run(kCount, {"{tokend}:w:" + organization}).value));
  }

 private:
  fakes::SimulatedRedis redis_{loop_.clock()};
  RedisReplicas<fakes::SimulatedConnection> replicas_;
};

// On the process's own clock.
class RealRedisHome final : public StateHome {
 public:
  RealRedisHome(const config::Requests& requests, const BeforeFirstCall& before) {
    server_.Ask({"HSET", "{tokend}:epoch", "id", "first", "created", "0", "quarantine", "0"});
    for (auto* replica : {&replicas_.a, &replicas_.b}) {
      // A long timeout: a busy machine is slow.
      auto connection = std::make_unique<RedisConnection>(
          loop_, RedisConnection::Options{.address = config::UnixAddress{server_.socket()},
                                          .reply_timeout = std::chrono::seconds(10)});
      replicas_.Begin(*replica, loop_, std::move(connection), requests);
    }
    before(*replicas_.a.state, Clock());
    EXPECT_TRUE(loop_.RunUntil([this] { return replicas_.in_contact(); }));
  }
  State& a() override { return *replicas_.a.state; }
  State& b() override { return *replicas_.b.state; }
  void DestroyA() override { replicas_.a.End(); }
  bool RunUntil(absl::FunctionRef<bool()> done, std::chrono::seconds limit) override {
    return loop_.RunUntil(done, limit);
  }
  void RunFor(std::chrono::milliseconds duration) override { loop_.RunFor(duration); }
  TimePoint Clock() override { return loop_.clock().Now(); }
  std::size_t Waiting(const std::string& organization) override {
    return std::stoul(server_.Ask({"HLEN", "{tokend}:w:" + organization}));
  }

 private:
  fakes::RedisServer server_;
  fakes::TurnedLoop loop_;
  RedisReplicas<RedisConnection> replicas_;
};

}  // namespace tokend::state
