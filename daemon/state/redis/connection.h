#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/redis/redis.h"
#include "daemon/state/redis/wire.h"

namespace tokend::state {

// One connection to one Redis: a bounded inbox, and one thread that drains it in batches. Each batch is one
// pipeline, and is answered by one post to the loop. Without a connection, scripts fail at once. A broken
// connection is made again after a pause; one on which Redis breaks its protocol, or gives an answer that
// belongs to no call, counts as broken. A Redis that may evict keys is not used, but tried again likewise.
class RedisConnection final : public Redis {
 public:
  struct Options {
    config::Address address;
    std::string username = {};       // empty: the default user
    std::string password_file = {};  // empty: no password; read at each attempt to connect
    std::optional<config::ClientTls> tls = std::nullopt;  // its files are read likewise
    // How long a batch may take, from its first byte to its last answer.
    std::chrono::milliseconds reply_timeout{1000};
    // How often it looks whether Redis may evict keys by now.
    std::chrono::milliseconds policy_look{10000};
  };

  static constexpr std::size_t kMaxInbox = 16384;
  static constexpr std::size_t kMaxBatch = 1024;
  // How long it may take to connect and log in.
  static constexpr std::chrono::milliseconds kConnectTimeout{1000};
  // The pause between two attempts to connect: the first one, and the longest.
  static constexpr std::chrono::milliseconds kFirstPause{50};
  static constexpr std::chrono::milliseconds kLongestPause{1000};

  // `loop` outlives this.
  RedisConnection(loop::EventLoop& loop, Options options);
  // Runs waiting scripts, for no longer than one batch may take, answers all of them and ends the thread.
  ~RedisConnection() override;

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

  void Work();
  // Waits until there is something to do. False when it is time to end.
  bool Wait();
  std::vector<Item> TakeBatch();
  void Connect();
  Status OpenWire();
  Status LogIn(SteadyTime deadline);
  // Whether Redis keeps its keys.
  Status LookAtPolicy(SteadyTime deadline);
  void Disconnect(const Status& why);

  void RunBatch(std::vector<Item> batch);
  // Answers all items or, if the connection breaks, the first of them.
  Status Exchange(const std::vector<Item>& batch, std::vector<RedisWire::Answer>& answers);
  // Sends these items of the batch, and writes their answers over those in `answers`.
  Status Send(const std::vector<Item>& batch, const std::vector<std::size_t>& items, SteadyTime deadline,
              std::vector<RedisWire::Answer>& answers);
  void Append(const Item& item, const std::string& nonce);
  // Each item has its answer.
  void Reply(std::vector<Item> items, std::vector<RedisWire::Answer> answers);

  loop::EventLoop& loop_;
  const Options options_;

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Item> inbox_;
  bool connected_ = false;
  bool greeted_ = false;
  Status why_;  // the reason why there is no connection
  bool stopping_ = false;

  // Only the thread uses these.
  std::optional<RedisWire> wire_;
  std::unordered_set<const RedisScript*> sent_;  // on this connection: Redis knows their digests
  std::chrono::milliseconds pause_ = kFirstPause;
  SteadyTime connect_at_{};
  SteadyTime look_at_{};  // when it looks at Redis's policy again
  std::uint64_t last_nonce_;
  std::thread thread_;
};

}  // namespace tokend::state
