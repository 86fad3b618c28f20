#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "daemon/state/redis/replies.h"
#include "tests/fuzz/check.h"

// Whatever Redis sends, in pieces of whatever size: the same answers, and memory within its bounds.
namespace {

using tokend::state::RedisReplies;

struct Outcome {
  bool taken = true;
  std::size_t answers = 0;
  bool has_part = false;
  bool operator==(const Outcome&) const = default;
};

Outcome Read(std::string_view bytes, std::size_t step) {
  RedisReplies replies;
  std::vector<RedisReplies::Answer> answers;
  Outcome outcome;
  for (std::size_t at = 0; outcome.taken && at < bytes.size(); at += step) {
    outcome.taken = replies.Take(bytes.substr(at, step), answers);
  }
  outcome.answers = answers.size();
  outcome.has_part = outcome.taken && replies.has_part();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t step = 1 + data[0] % std::min<std::size_t>(size, 64);
  tokend::fuzz::Check(Read(bytes, size) == Read(bytes, step));
  return 0;
}
