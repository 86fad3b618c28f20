#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/loop/event_loop.h"
#include "daemon/upstream/api_key.h"
#include "daemon/upstream/gate.h"

namespace tokend::upstream {

// What keeps an organization's requests from being sent.
enum class Obstacle { kBreaker, kRejectedKey, kPause };

// Whether there is a point in sending a request, by how those before it ended. An organization's breaker
// opens after 5 failures in a row (no connection, reset, time-out, 5xx); a key that upstream rejects cools
// its organization until the key changes or a probe with it succeeds; a 403 cools that application of the
// organization alone; a 429 with Retry-After pauses the organization. Loop thread only, but for `Troubles`.
class Availability {
 public:
  // Told when an organization's obstacle comes or goes, and of each organization that there is at first, when
  // nothing stands in its way. Loop thread.
  using OnChange = std::function<void(const std::string& organization, Obstacle obstacle, bool stands)>;

  // A request's way through, from Enter to its end. What it probes is free for another once it ends.
  class Passage {
   public:
    Passage(Passage&& other) noexcept { *this = std::move(other); }
    Passage& operator=(Passage&& other) noexcept;
    ~Passage() { Drop(); }
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    friend class Availability;
    Passage() = default;
    void Drop();

    Availability* from_ = nullptr;  // none: it has ended
    std::string organization_;
    std::string application_;
    Gate::Call call_{};
  };

  // `loop` outlives this, and this every Passage.
  Availability(loop::EventLoop& loop, const KeyRing& keys, OnChange on_change);

  // What a request would be refused with now: UPSTREAM_UNAVAILABLE, UPSTREAM_KEY_REJECTED,
  // UPSTREAM_FORBIDDEN or UPSTREAM_RATE_LIMITED.
  std::optional<Failure> Check(const std::string& organization, const std::string& application) const;

  // The same, or lets it through.
  std::variant<Passage, Failure> Enter(const std::string& organization, const std::string& application);

  // How a request that was let through has ended.
  void Ended(Passage passage, const MintOutcome& outcome);

  // An organization whose key is another one no longer cools.
  void UseKeys(const KeyRing& keys);

  // What an operator should know, a line each, in fixed words. Any thread.
  std::vector<std::string> Troubles() const;

 private:
  struct Organization {
    std::uint64_t key_generation = 0;
    Gate breaker;
    Gate key;
    std::map<std::string, Gate> applications = {};
    Gate::TimePoint paused_until = {};
    std::optional<loop::TimerId> pause_ends = std::nullopt;
  };

  // The gates that stand in the way of these two.
  std::vector<Gate*> GatesOf(const std::string& organization, const std::string& application);
  void JudgeKey(Organization& organization, const Passage& passage, const MintOutcome& outcome);
  void JudgeApplication(Organization& organization, const Passage& passage, const MintOutcome& outcome);
  void Pause(const std::string& name, Organization& organization, std::chrono::milliseconds time);
  void Tell(const std::string& name, Obstacle obstacle, bool stood, bool stands);

  loop::EventLoop& loop_;
  const OnChange on_change_;
  std::map<std::string, Organization> organizations_;
  std::uint64_t calls_ = 0;  // let through, ever

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, Obstacle>, std::string> troubles_;
};

}  // namespace tokend::upstream
