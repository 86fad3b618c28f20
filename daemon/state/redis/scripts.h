#pragma once

#include <chrono>
#include <string_view>

#include "daemon/state/redis/redis.h"

namespace tokend::state {

// All keys begin with this hash tag, so that a cluster holds them in one slot. Scripts get the epoch's key as
// KEYS, and make the other keys from their arguments.
inline constexpr std::string_view kRedisPrefix = "{tokend}:";

// How long living replicas have to notice that Redis has lost writes, and to write them again.
inline constexpr std::chrono::milliseconds kRewriteTime{2000};

// What replicas ask Redis to do. Redis runs each script as one step. The files in scripts/ say which keys,
// arguments and answers each has.
struct RedisScripts {
  RedisScript hello;      // makes contact
  RedisScript beat;       // renews the replica's lease
  RedisScript admit;      // claims a request_id and spends its charges
  RedisScript spend;      // spends charges for another attempt
  RedisScript check;      // says what spend would answer
  RedisScript turns;      // serves the queues and brings news of waiting calls
  RedisScript remove;     // undoes admit or spend
  RedisScript give_back;  // gives back charges that were not used
  RedisScript levels;     // says when buckets will be full
  RedisScript put;        // writes request_ids

  static const RedisScripts& Get();
};

}  // namespace tokend::state
