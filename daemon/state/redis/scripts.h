#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/state/charges.h"
#include "daemon/state/redis/redis.h"
#include "daemon/state/state.h"

// What replicas ask Redis to do: the scripts, their arguments and their answers.
namespace tokend::state {

// All keys begin with this hash tag, so that a cluster holds them in one slot. Scripts get the epoch's key as
// KEYS, and make the other keys from their arguments.
inline constexpr std::string_view kRedisPrefix = "{tokend}:";

// Redis runs each script as one step. The files in scripts/ say which keys, arguments and answers each has.
struct RedisScripts {
  RedisScript hello;      // makes contact
  RedisScript beat;       // renews the replica's lease, and compares settings
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

using Arguments = std::vector<std::string>;

std::string ToArgument(std::chrono::microseconds duration);
std::string ToArgument(RedisTime time);

std::string_view BytesOf(const RequestDigest& digest);

// A target as one text, and back: its names and scopes have no blanks.
std::string ToArgument(const Target& target);
Target ParseTarget(const std::string& text);

// An organization's name: "-" if charges name none.
std::string OrganizationOf(const Charges& charges);

// Charges as limits.lua reads them. Intervals and tolerances are rounded so that Redis never grants more than
// the limit says.
void AppendCharges(const Charges& charges, Arguments& arguments);
void AppendCharges(const std::vector<Charge>& charges, Arguments& arguments);

// A call as spending.lua reads it. `patience` is how long it can wait for its turn.
void AppendCall(std::uint64_t waiter, const Charges& charges, std::chrono::nanoseconds patience,
                Arguments& arguments);

// What a script answered: a word, Redis's time, the number of the write that was done, and more elements,
// which are counted from 0. An element that is missing or of another kind reads as 0 or "".
class RedisAnswer {
 public:
  static Result<RedisAnswer> From(RedisReply reply);

  const std::string& word() const { return std::get<std::string>(elements_.front().value); }
  RedisTime now() const { return RedisTime(std::chrono::microseconds(Integer(1))); }
  std::int64_t wrote() const { return Integer(2); }

  std::size_t size() const { return elements_.size() - kHeader; }
  std::int64_t Number(std::size_t at) const { return Integer(kHeader + at); }
  RedisTime Time(std::size_t at) const;  // within the bounds that sums of times need
  std::string Text(std::size_t at) const;
  std::vector<std::string> Texts(std::size_t at) const;

 private:
  static constexpr std::size_t kHeader = 3;
  explicit RedisAnswer(std::vector<RedisReply> elements) : elements_(std::move(elements)) {}
  // Null if there is no such element, or if it is of another kind.
  template <class Kind>
  const Kind* Find(std::size_t at) const {
    return at < elements_.size() ? std::get_if<Kind>(&elements_[at].value) : nullptr;
  }
  std::int64_t Integer(std::size_t at) const;

  std::vector<RedisReply> elements_;
};

// The error of an answer that no script of this daemon gives.
Status NotUnderstood();

}  // namespace tokend::state
