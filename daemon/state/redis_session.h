#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/result.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/charges.h"
#include "daemon/state/redis.h"

namespace tokend::state {

// What a script answered: a word, Redis's time, the number of the write that was done, and more. What is not
// there, or is of another kind, is 0 or "".
class RedisAnswer {
 public:
  static Result<RedisAnswer> From(RedisReply reply);

  const std::string& word() const { return word_; }
  std::int64_t now() const { return Integer(1); }
  std::int64_t wrote() const { return Integer(2); }

  // What follows, from 0 on.
  std::size_t size() const { return elements_.size() - kHeader; }
  std::int64_t Number(std::size_t at) const { return Integer(kHeader + at); }
  std::string Text(std::size_t at) const;
  std::vector<std::string> Texts(std::size_t at) const;

 private:
  static constexpr std::size_t kHeader = 3;
  RedisAnswer(std::string word, std::vector<RedisReply> elements)
      : word_(std::move(word)), elements_(std::move(elements)) {}
  std::int64_t Integer(std::size_t at) const;

  std::string word_;
  std::vector<RedisReply> elements_;
};

// One replica's contact with what all replicas share: it lives there by a lease, knows which Redis it is by
// its epoch, and notices when that one has lost what it had. Loop thread.
class RedisSession {
 public:
  using Done = absl::AnyInvocable<void(Result<RedisAnswer>)>;

  enum class Contact {
    kNone,  // nothing can be run
    kMade,  // what must be known there first is being written
    kFull,
  };
  // Whether the Redis that contact is made with has what this replica wrote.
  enum class Memory { kKept, kLost };

  // Each may end the session.
  struct Events {
    std::function<void(Memory)> on_made = {};  // Open when it is time
    std::function<void()> on_lost = {};        // what waits in Redis waits there no more
    std::function<void(std::size_t entries)> on_beat = {};
    std::function<void(const Status& health)> on_health = {};  // it has changed; does not end the session
  };

  // How long the lease is, is the scripts' to say: five of these.
  static constexpr std::chrono::milliseconds kBeat{1000};
  static constexpr std::chrono::milliseconds kHello{100};
  // A script that Redis has not begun by then is not run.
  static constexpr std::chrono::milliseconds kScriptLife{3000};
  // Where there is no epoch a replica that knows of none leaves it to the others for so long to begin one:
  // they may know that something is lost.
  static constexpr std::chrono::milliseconds kOthersFirst{2000};

  // `loop` and `redis` outlive this.
  RedisSession(loop::EventLoop& loop, Redis& redis, std::chrono::milliseconds remember, Events events);
  ~RedisSession();
  RedisSession(const RedisSession&) = delete;
  RedisSession& operator=(const RedisSession&) = delete;

  void Start();

  // This replica has a past: where Redis has none, something was lost. Before Start.
  void HasPast() { has_past_ = true; }

  // Everything is written: calls can be admitted.
  void Open();

  Contact contact() const { return contact_; }
  const std::string& replica() const { return replica_; }
  // Why calls cannot be admitted. Any thread.
  Status health() const;

  // Runs a script of RedisScripts with these arguments behind the common ones. `done` is called exactly once,
  // but not once this has ended; errors are those of Redis::Run. Not without contact.
  enum class Writes { kNothing, kLedger };
  void Run(const RedisScript& script, Writes writes, std::vector<std::string> arguments, Done done);

  // The microsecond after which nothing is run any more that was given to Run until now.
  std::int64_t Fence() const;

 private:
  struct Call {
    const RedisScript* script;
    Writes writes;
    std::vector<std::string> arguments;
    Done done;
    int attempts = 0;
    std::uint64_t contact = 0;
    TimePoint sent_at{};
  };

  void Send(std::unique_ptr<Call> call);
  void OnReply(std::unique_ptr<Call> call, Result<RedisReply> reply);
  void Learn(const RedisAnswer& answer, TimePoint sent_at);
  std::int64_t TimeAtMost() const;
  std::int64_t LifeEnds() const;  // of a script that is sent now
  void Lose(const Status& why);

  void ArmTick();
  void Tick();
  void Hello();
  void OnHello(const Result<RedisAnswer>& answer);
  void SetHealth(const Status& health);

  loop::EventLoop& loop_;
  Redis& redis_;
  const std::chrono::milliseconds remember_;
  const Events events_;
  const std::string replica_;

  Contact contact_ = Contact::kNone;
  std::uint64_t contacts_ = 0;  // how often it was made or lost
  bool has_past_ = false;
  bool hello_runs_ = false;
  bool beat_runs_ = false;
  std::string epoch_;
  std::optional<TimePoint> no_epoch_since_;
  std::uint64_t last_write_ = 0;
  std::int64_t known_write_ = 0;
  // Redis's clock, as it was when this was not yet sent.
  std::optional<std::pair<std::int64_t, TimePoint>> clock_;
  std::int64_t last_life_ends_ = 0;  // of the scripts of this contact
  std::optional<loop::TimerId> tick_;

  mutable std::mutex mutex_;
  Status health_;

  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tokend::state
