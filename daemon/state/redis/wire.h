#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"
#include "daemon/state/redis/redis.h"

struct redisContext;

namespace tokend::state {

// One connected socket, and Redis's protocol on it. No function waits beyond its deadline, except that the
// system's resolver may take longer to look up a host name. One thread at a time.
class RedisWire {
 public:
  using SteadyTime = std::chrono::steady_clock::time_point;
  // What Redis answered to one command. An error has fixed words and one of these codes. kNotFound: Redis
  // does not know the script. kUnavailable: it did nothing. kFailedPrecondition: it did nothing, and another
  // connection may reach a Redis that does. kUnknown: the command failed, and may have done something.
  using Answer = Result<RedisReply>;

  static Result<RedisWire> Open(const config::Address& address, SteadyTime deadline);

  // Logs in, at once.
  Status LogIn(std::string_view username, const Secret& password, SteadyTime deadline);

  // Adds a command with its arguments to the pipeline.
  void Append(const std::vector<std::string_view>& command);

  // Sends the pipeline, and appends the answers to its `commands` commands as they arrive. After an error the
  // connection is of no more use. kUnknown: Redis may have received a command. kUnavailable: it has not.
  Status Exchange(std::size_t commands, SteadyTime deadline, std::vector<Answer>& answers);

  // Whether Redis has closed the connection, or sent something without being asked.
  bool IsStale() const;

 private:
  explicit RedisWire(redisContext* context);

  // Waits for one of these poll events, and returns those that have come.
  Result<short> Await(short events, SteadyTime deadline) const;
  Status Send(const Secret& bytes, SteadyTime deadline) const;
  Status TakeAnswers(std::size_t commands, std::vector<Answer>& answers);

  std::unique_ptr<redisContext, void (*)(redisContext*)> context_;
};

}  // namespace tokend::state
