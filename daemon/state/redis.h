#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/result.h"

namespace tokend::state {

// A Lua script, and the name that Redis keeps it under.
class RedisScript {
 public:
  // One that greets comes first on a connection: who asks is to see that it is a new one, maybe to another
  // Redis.
  enum class Kind { kPlain, kGreeting };

  explicit RedisScript(std::string text, Kind kind = Kind::kPlain);

  const std::string& text() const { return text_; }
  const std::string& digest() const { return digest_; }  // SHA-1, in lower-case hex
  Kind kind() const { return kind_; }

 private:
  std::string text_;
  std::string digest_;
  Kind kind_;
};

// What Redis answered: nothing, a number, a text, or a list of these.
struct RedisReply {
  std::variant<std::monostate, std::int64_t, std::string, std::vector<RedisReply>> value;
};

// Runs scripts in Redis, each as a whole and in the order in which they were given, as far as they are run at
// all. Loop thread.
class Redis {
 public:
  using Done = absl::AnyInvocable<void(Result<RedisReply>)>;

  virtual ~Redis() = default;

  // `done` is posted to the loop exactly once, also where this ends first. An error says in fixed words what
  // is wrong with Redis, and by its code whether the script was run. It was not and will not be:
  // kUnavailable, or kResourceExhausted where only too much waits. It may have been, or may be yet, as where
  // Redis has it and stands still: kUnknown. `script` outlives this.
  virtual void Run(const RedisScript& script, std::vector<std::string> keys,
                   std::vector<std::string> arguments, Done done) = 0;
};

// Whether the script that ended in this error may have been run, or may be yet.
inline bool MayHaveRun(const Status& error) { return error.code() == absl::StatusCode::kUnknown; }

}  // namespace tokend::state
