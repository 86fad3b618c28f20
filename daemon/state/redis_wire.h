#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"
#include "daemon/state/redis.h"

struct redisContext;

namespace tokend::state {

// One connected socket, and Redis's protocol on it. Nothing waits past its deadline, but for a name that does
// not resolve, with which the resolver may take its own time. One thread at a time.
class RedisWire {
 public:
  using SteadyTime = std::chrono::steady_clock::time_point;
  // What Redis answered to one command. Errors are in fixed words: kNotFound, it does not know the script;
  // kUnavailable, it does nothing now; kFailedPrecondition, it does nothing, and another connection may do
  // better; kUnknown, something went wrong on the way.
  using Answer = Result<RedisReply>;

  // Answers to one pipeline are not larger.
  static constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 20U;

  static Result<RedisWire> Open(const config::Address& address, SteadyTime deadline);

  RedisWire(RedisWire&&) noexcept;
  RedisWire& operator=(RedisWire&&) noexcept;
  ~RedisWire();

  // Says who this is. Sends at once.
  Status LogIn(std::string_view username, const Secret& password, SteadyTime deadline);

  // Puts a command with its arguments into the pipeline.
  void Append(const std::vector<std::string_view>& command);

  // Sends the pipeline, and adds the answers to its `commands` commands as they come. An error is the
  // connection's: it is of no more use, and `sent_something` says whether Redis may have got any of it.
  Status Exchange(std::size_t commands, SteadyTime deadline, std::vector<Answer>& answers,
                  bool& sent_something);

  // Whether the other side has hung up, or said what nobody asked for.
  bool IsStale() const;

 private:
  struct Free {
    void operator()(redisContext* context) const;
  };
  explicit RedisWire(redisContext* context) : context_(context) {}

  // Which of the events have come: nothing else can be said of an error.
  Result<short> Await(short events, SteadyTime deadline) const;
  Status Send(const Secret& bytes, SteadyTime deadline) const;
  Status TakeAnswers(std::size_t commands, std::vector<Answer>& answers);

  std::unique_ptr<redisContext, Free> context_;
};

}  // namespace tokend::state
