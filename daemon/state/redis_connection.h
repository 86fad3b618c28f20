#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/redis.h"
#include "daemon/state/redis_wire.h"

namespace tokend::state {

// One connection to one Redis: a bounded inbox, and one thread that drains it in batches, each of which is
// one pipeline and is answered with one post to the loop. What is given to it while there is no connection
// fails at once. A connection that broke is made again after a pause; so is one to a Redis that would forget
// keys before their time.
class RedisConnection final : public Redis {
 public:
  struct Options {
    config::Address address;
    std::string username;  // empty: the default user
    Secret password;       // empty: none
    // For a batch, from its first byte to its last answer.
    std::chrono::milliseconds reply_timeout{1000};
  };

  static constexpr std::size_t kMaxInbox = 16384;
  static constexpr std::size_t kMaxBatch = 1024;
  // Connecting, with all that is said before the first script.
  static constexpr std::chrono::milliseconds kConnectTimeout{1000};
  // Between two attempts to connect: after the first, and at most.
  static constexpr std::chrono::milliseconds kFirstPause{50};
  static constexpr std::chrono::milliseconds kLongestPause{1000};

  // `loop` outlives this.
  RedisConnection(loop::EventLoop& loop, Options options);
  // Runs what waits, for no longer than one batch may take, answers everything and ends the thread.
  ~RedisConnection() override;
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  void Run(const RedisScript& script, std::vector<std::string> keys, std::vector<std::string> arguments,
           Done done) override;

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Item {
    const RedisScript* script;
    std::vector<std::string> keys;
    std::vector<std::string> arguments;
    Done done;
  };
  struct Answer {
    Done done;
    Result<RedisReply> result;
  };

  void Work();
  // Until there is something to do: false when it is time to end.
  bool Wait();
  std::vector<Item> TakeBatch();
  void Connect();
  Status OpenWire();
  void Disconnect(const Status& why);

  void RunBatch(std::vector<Item> batch);
  // Answers all items, or the first of them where the connection breaks.
  Status Exchange(const std::vector<Item>& batch, SteadyTime deadline,
                  std::vector<RedisWire::Answer>& answers, bool& sent_something);
  void Append(const Item& item);
  void Reply(std::vector<Answer> answers);

  loop::EventLoop& loop_;
  const Options options_;

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Item> inbox_;
  bool connected_ = false;
  bool greeted_ = false;
  Status why_;  // there is no connection
  bool stopping_ = false;

  // The thread's alone.
  std::optional<RedisWire> wire_;
  std::unordered_set<const RedisScript*> sent_;  // on this connection: Redis knows them by their digests
  std::chrono::milliseconds pause_ = kFirstPause;
  SteadyTime connect_at_{};
  std::thread thread_;
};

}  // namespace tokend::state
