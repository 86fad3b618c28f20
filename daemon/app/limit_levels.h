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

// What is left of the organizations' limits, for the status page. The state answers on the loop, maybe after
// a round trip to Redis. So a reader gets the last reading at once, and asks for the next one.
class LimitLevels {
 public:
  // A reading is asked for at most this often.
  static constexpr std::chrono::milliseconds kInterval{200};

  struct Levels {
    std::optional<std::chrono::system_clock::time_point> read = {};  // when it was read; nothing: never
    // Tokens that could be had then, by organization and limit.
    std::map<std::pair<std::string, std::string>, std::int64_t> remaining = {};
  };

  // All three outlive this. `loop` stops before `current` and `state` are destroyed.
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
    bool asked = false;                                             // under the mutex: a reading runs
    std::optional<std::chrono::steady_clock::time_point> asked_at;  // under the mutex
  };
  static void Read(const std::shared_ptr<Shared>& shared);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace tokend::app
