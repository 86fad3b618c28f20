#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/result.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/redis/redis.h"
#include "daemon/state/redis/scripts.h"

namespace tokend::state {

// A setting that must be the same at all replicas that share one Redis.
struct SharedSetting {
  std::string name;   // as in the configuration
  std::string value;  // not the setting itself: a value by which it can be compared
};

// One replica's contact with Redis. It renews the replica's lease, which shows other replicas that this one
// is alive. It recognizes Redis by its epoch, and notices when Redis has lost what was written, or when
// Redis's clock was set so far that it may have. Loop thread.
class RedisSession {
 public:
  using Done = absl::AnyInvocable<void(Result<RedisAnswer>)>;

  // Whether Redis still has what this replica wrote.
  enum class Memory { kKept, kLost };

  // Each but on_health, on_quarantine and on_differences may destroy the session.
  struct Events {
    std::function<void(Memory)> on_made = {};  // contact is made: call Open once everything is written
    std::function<void()> on_lost = {};  // contact is lost: calls in the queues of Redis hear of no turn
    std::function<void(std::size_t entries)> on_beat = {};  // Redis answered, and knows so many request_ids
    std::function<void(const Status& health)> on_health = {};  // health has changed
    // What is left of Redis's quarantine, as Redis told just now; not above 0: there is none.
    std::function<void(std::chrono::microseconds left)> on_quarantine = {};
    // Those of the shared settings in which other replicas differ: called when they change.
    std::function<void(const std::vector<std::string>& settings)> on_differences = {};
  };

  // How long the lease lasts, and how often it is renewed.
  static constexpr std::chrono::milliseconds kBeat{1000};
  static constexpr std::chrono::milliseconds kLease = 5 * kBeat;
  // How often contact is tried.
  static constexpr std::chrono::milliseconds kHello{100};
  // Redis does not run a script that it has not begun after this time.
  static constexpr std::chrono::milliseconds kScriptLife{3000};
  // If Redis has no epoch, a replica that knows of no earlier one waits so long before it begins one: other
  // replicas may know that Redis has lost something.
  static constexpr std::chrono::milliseconds kOthersFirst{2000};

  struct Settings {
    std::chrono::milliseconds remember{0};
    std::vector<SharedSetting> shared = {};
  };

  // `loop` and `redis` outlive this.
  RedisSession(loop::EventLoop& loop, Redis& redis, Settings settings, Events events);
  ~RedisSession();

  void Start();

  // This replica knows of earlier requests: if Redis has no epoch, Redis has lost something. Before Start.
  void NoteEarlierRequests() { has_earlier_requests_ = true; }

  // Everything is written: calls are admitted, unless contact was lost again meanwhile.
  void Open();

  // Scripts can run. Before Open, this replica is writing what it knows.
  bool has_contact() const { return contact_ != Contact::kNone; }
  // Calls can be admitted.
  bool is_open() const { return contact_ == Contact::kOpen; }
  const std::string& replica() const { return replica_; }
  // Why calls cannot be admitted. Any thread.
  Status health() const;

  // Runs a script of RedisScripts with these arguments after the five that all scripts have. Calls `done`
  // exactly once, later, unless this is destroyed first. Errors are those of Redis::Run; each of them but
  // kResourceExhausted means that contact is lost.
  void Run(const RedisScript& script, Arguments arguments, Done done);

  // Redis has not what this replica wrote, as one of its answers shows: contact is lost, and everything is
  // written again. May destroy the session, as on_lost may.
  void Distrust(const Status& why);

  // The time after which Redis runs no script that was given to Run until now.
  RedisTime LatestRun() const;

 private:
  enum class Contact { kNone, kMade, kOpen };
  struct Call {
    const RedisScript* script;
    Arguments arguments;
    Done done;
    int attempts = 0;
    std::uint64_t contact = 0;
    TimePoint sent_at{};
  };

  void Send(std::unique_ptr<Call> call);
  // Reads Redis's time in an answer. False if it is more than `remember` from what it should be.
  bool ReadClock(const RedisAnswer& answer, TimePoint sent_at);
  void OnReply(std::unique_ptr<Call> call, Result<RedisReply> reply);
  RedisTime RunUntil() const;  // of a script that is sent now
  void Lose(const Status& why);

  void ArmTick();
  void Beat();
  void Hello();
  void OnHello(const Result<RedisAnswer>& answer);
  void OnBeat(const RedisAnswer& answer);
  void TellQuarantine(const RedisAnswer& answer);
  void SetHealth(const Status& health);

  loop::EventLoop& loop_;
  Redis& redis_;
  const Settings settings_;
  const Events events_;
  const std::string replica_;

  Contact contact_ = Contact::kNone;
  std::uint64_t contacts_ = 0;  // how often contact was made or lost
  bool has_earlier_requests_ = false;
  bool hello_runs_ = false;
  bool beat_runs_ = false;
  std::string epoch_;
  bool distrusts_ = false;     // until contact is made again
  bool clock_jumped_ = false;  // likewise: Redis may have lost what it held
  std::vector<std::string> differences_;
  std::optional<TimePoint> no_epoch_since_;
  std::uint64_t last_write_ = 0;
  std::int64_t known_write_ = 0;
  // Redis's time in its last answer, and ours when that script was sent: Redis's clock is at most so far.
  std::optional<std::pair<RedisTime, TimePoint>> clock_;
  RedisTime latest_run_{};  // of the scripts of this contact that were sent
  std::optional<loop::TimerId> tick_;

  mutable std::mutex mutex_;
  Status health_;

  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
