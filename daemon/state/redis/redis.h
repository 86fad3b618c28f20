#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/result.h"

namespace tokend::state {

// A Lua script.
struct RedisScript {
  // A greeting runs first on every new connection: its answer shows whether this is another Redis. A script
  // that writes to the ledger gets a number for the write.
  enum class Kind { kPlain, kGreeting, kWritesLedger };

  explicit RedisScript(std::string its_lua, Kind its_kind = Kind::kPlain);

  const std::string lua;
  // What is sent: with a nonce after its arguments it answers a list of the nonce and what `lua` answers. So
  // an answer shows to which call it belongs.
  const std::string text;
  const std::string digest;  // the name that Redis keeps it under: SHA-1, in lower-case hex
  const Kind kind;
};

// What Redis answered: nothing, a number, a text, or a list of these.
struct RedisReply {
  std::variant<std::monostate, std::int64_t, std::string, std::vector<RedisReply>> value;
};

// Runs scripts in Redis, each as a whole, in the order in which they were given. Loop thread.
class Redis {
 public:
  using Done = absl::AnyInvocable<void(Result<RedisReply>)>;

  virtual ~Redis() = default;

  // Posts `done` to the loop exactly once, also if this ends first. An error has fixed words that say what is
  // wrong with Redis, and a code that says whether the script ran. kUnavailable: it did not and will not.
  // kResourceExhausted: likewise, as too many scripts wait. kUnknown: it may have run, or may run yet, for
  // example while Redis stands still. `script` outlives this.
  virtual void Run(const RedisScript& script, std::vector<std::string> keys,
                   std::vector<std::string> arguments, Done done) = 0;
};

// Whether a script that ended in this error may have run, or may run yet.
inline bool MayHaveRun(const Status& error) { return error.code() == absl::StatusCode::kUnknown; }

}  // namespace tokend::state
