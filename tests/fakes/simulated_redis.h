#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/loop/event_loop.h"
#include "daemon/state/redis/redis.h"

namespace tokend::fakes {

// A Redis in the test's process, on the test's clock. It runs the real scripts in the version of Lua that
// Redis has, and knows the commands that they use. The test's thread only.
class SimulatedRedis {
 public:
  explicit SimulatedRedis(const loop::Clock& clock);
  ~SimulatedRedis();
  SimulatedRedis(const SimulatedRedis&) = delete;
  SimulatedRedis& operator=(const SimulatedRedis&) = delete;

  // Runs a script. Throws std::runtime_error if it fails: then the script or this class is wrong.
  state::RedisReply Run(const state::RedisScript& script, const std::vector<std::string>& arguments);

  // Sets fields of a hash, as a script could.
  void SetHash(const std::string& key, const std::vector<std::pair<std::string, std::string>>& fields);

  std::uint64_t runs() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// One replica's connection. A script takes a millisecond to arrive, and its answer another to come back. When
// the connection breaks, scripts that are on their way may have run; it works again at once.
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
