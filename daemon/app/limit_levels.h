#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "daemon/issue/config_snapshot.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/state.h"

namespace tokend::app {

// What is left of the organizations' limits, for the status page. The state tells it on the loop, maybe after
// a round trip to Redis, so a reader gets what was read last, and asks for the next reading.
class LimitLevels {
 public:
  // A reading is asked for at most this often.
  static constexpr std::chrono::milliseconds kInterval{200};

  struct Levels {
    std::optional<std::chrono::system_clock::time_point> read = {};  // nothing: not yet
    // Tokens that could be had then, by organization and limit.
    std::map<std::pair<std::string, std::string>, std::int64_t> remaining = {};
  };

  // All of them outlive this, and the loop outlives the other two or has stopped before they end.
  LimitLevels(loop::EventLoop& loop, const issue::CurrentConfig& current, state::State& state);

  // Any thread.
  Levels GetAndRefresh();

 private:
  struct Shared {
    loop::EventLoop& loop;
    const issue::CurrentConfig& current;
    state::State& state;
    std::mutex mutex;
    Levels levels = {};                                             // under the mutex
    bool asked = false;                                             // likewise: a reading is under way
    std::optional<std::chrono::steady_clock::time_point> asked_at;  // likewise
  };
  static void Read(const std::shared_ptr<Shared>& shared);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace tokend::app
