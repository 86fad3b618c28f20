#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/config/config.h"
#include "daemon/state/redis/replies.h"
#include "daemon/state/redis/socket.h"

namespace tokend::state {

// One connection, and Redis's protocol on it. No function waits beyond its deadline, except that the system's
// resolver may take longer to look up a host name. One thread at a time.
class RedisWire {
 public:
  using SteadyTime = RedisSocket::SteadyTime;
  using Answer = RedisReplies::Answer;

  static Result<RedisWire> Open(const config::Address& address, const std::optional<config::ClientTls>& tls,
                                SteadyTime deadline);

  // Logs in, at once.
  Status LogIn(std::string_view username, const Secret& password, SteadyTime deadline);

  // Adds a command with its arguments to the pipeline.
  void Append(const std::vector<std::string_view>& command);

  // Sends the pipeline, and appends the answers to its `commands` commands as they arrive: not more, and no
  // error is among them that may be meant for another command. After an error the connection is of no more
  // use. kUnknown: Redis may have received a command. kUnavailable: it has not.
  Status Exchange(std::size_t commands, SteadyTime deadline, std::vector<Answer>& answers);

  // Whether Redis has closed the connection, or sent something without being asked.
  bool IsStale();

 private:
  explicit RedisWire(RedisSocket socket) : socket_(std::move(socket)) {}

  RedisSocket socket_;
  WipedBytes pipeline_;  // a command may hold a password
};

}  // namespace tokend::state
