#include "daemon/state/redis/scripts.h"

#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "daemon/base/form.h"
#include "daemon/state/fair_queue.h"
#include "daemon/state/rate_limiter.h"
#include "daemon/state/redis/session.h"

namespace tokend::state {

// The files in scripts/, which embed_scripts.cmake puts into the program.
namespace lua {
extern const std::string_view hello, beat, admit, spend, check, turns, remove, give_back, levels, put;
}

namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// How long Redis keeps what it knows of a replica that is gone, and news for a call that does not fetch it.
constexpr std::chrono::hours kReplicaLife{1};
constexpr std::chrono::minutes kNewsLife{1};

// The constants of this program that the scripts use, as the first lines of each.
std::string Constants() {
  std::string text;
  const auto add = [&text](std::string_view name, std::int64_t value) {
    text.append("local ").append(name).append(" = ").append(std::to_string(value)).append("\n");
  };
  text.append("local PREFIX = '").append(kRedisPrefix).append("'\n");
  add("LEASE", microseconds(RedisSession::kLease).count());
  add("RENEW_LEASE_BELOW", microseconds(RedisSession::kLease - RedisSession::kBeat).count());
  add("REWRITE_TIME", microseconds(kRewriteTime).count());
  add("REPLICA_LIFE_MS", milliseconds(kReplicaLife).count());
  add("NEWS_LIFE_MS", milliseconds(kNewsLife).count());
  add("MAX_WAITING", kMaxWaitingForTurn);
  add("MAX_CALLERS", kMaxQueuedCallers);
  return text;
}

RedisScript Make(std::string_view text, RedisScript::Kind kind = RedisScript::Kind::kPlain) {
  return RedisScript(Constants().append(text), kind);
}

}  // namespace

RedisScript::RedisScript(std::string text, Kind kind) : text_(std::move(text)), kind_(kind) {
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<const unsigned char*>(text_.data()), text_.size(), digest.data());
  digest_ = Hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

const RedisScripts& RedisScripts::Get() {
  static const RedisScripts scripts{.hello = Make(lua::hello, RedisScript::Kind::kGreeting),
                                    .beat = Make(lua::beat),
                                    .admit = Make(lua::admit),
                                    .spend = Make(lua::spend),
                                    .check = Make(lua::check),
                                    .turns = Make(lua::turns),
                                    .remove = Make(lua::remove),
                                    .give_back = Make(lua::give_back),
                                    .levels = Make(lua::levels),
                                    .put = Make(lua::put)};
  return scripts;
}

}  // namespace tokend::state
