#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/state/redis/redis.h"
#include "daemon/state/redis_clock.h"

namespace tokend::state {

// What a script answered: a word, Redis's time, the number of the write that was done, and more elements,
// which are counted from 0. An element that is missing or of another kind reads as 0 or "".
class RedisAnswer {
 public:
  static Result<RedisAnswer> From(RedisReply reply);

  const std::string& word() const { return word_; }
  RedisTime now() const { return RedisTime(std::chrono::microseconds(Integer(1))); }
  std::int64_t wrote() const { return Integer(2); }

  std::size_t size() const { return elements_.size() - kHeader; }
  std::int64_t Number(std::size_t at) const { return Integer(kHeader + at); }
  RedisTime Time(std::size_t at) const { return RedisTime(std::chrono::microseconds(Number(at))); }
  std::string Text(std::size_t at) const;
  std::vector<std::string> Texts(std::size_t at) const;

 private:
  static constexpr std::size_t kHeader = 3;
  RedisAnswer(std::string word, std::vector<RedisReply> elements)
      : word_(std::move(word)), elements_(std::move(elements)) {}
  std::int64_t Integer(std::size_t at) const;

  std::string word_;
  std::vector<RedisReply> elements_;
};

// The error of an answer that no script of this daemon gives.
Status NotUnderstood();

}  // namespace tokend::state
