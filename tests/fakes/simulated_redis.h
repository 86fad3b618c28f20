#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/loop/event_loop.h"
#include "daemon/state/redis/redis.h"

namespace tokend::fakes {

// A Redis in the test's process, on the test's clock: it runs the very scripts, by the Lua that Redis has in
// it, on the commands that they use. The test's thread only.
class SimulatedRedis {
 public:
  explicit SimulatedRedis(const loop::Clock& clock);
  ~SimulatedRedis();
  SimulatedRedis(const SimulatedRedis&) = delete;
  SimulatedRedis& operator=(const SimulatedRedis&) = delete;

  // Runs a script as a whole. std::runtime_error where it fails: a fault of the script or of this.
  state::RedisReply Run(const state::RedisScript& script, const std::vector<std::string>& arguments);

  // What a script's write would be.
  void SetHash(const std::string& key, const std::vector<std::pair<std::string, std::string>>& fields);

  std::uint64_t runs() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// One replica's way there and back, which takes a millisecond each. What is on its way when it breaks may
// have been run; it works again at once.
class SimulatedConnection final : public state::Redis {
 public:
  // Both outlive this.
  SimulatedConnection(loop::EventLoop& loop, SimulatedRedis& redis);
  ~SimulatedConnection() override;
  SimulatedConnection(const SimulatedConnection&) = delete;
  SimulatedConnection& operator=(const SimulatedConnection&) = delete;

  void Run(const state::RedisScript& script, std::vector<std::string> keys,
           std::vector<std::string> arguments, Done done) override;

  void Break();

 private:
  struct Wire;
  loop::EventLoop& loop_;
  SimulatedRedis& redis_;
  std::shared_ptr<Wire> wire_;
};

}  // namespace tokend::fakes
