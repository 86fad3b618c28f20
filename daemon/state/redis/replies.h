#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/state/redis/redis.h"

namespace tokend::state {

// Reads the answers to one pipeline from the bytes that Redis sends (RESP2). Redis is not trusted here: each
// bound is checked before memory is allocated for what it limits. One thread at a time.
class RedisReplies {
 public:
  // What Redis answered to one command. An error has fixed words and one of these codes. kNotFound: Redis
  // does not know the script. kUnavailable: it did nothing. kFailedPrecondition: it did nothing, and another
  // connection may reach a Redis that does. kUnknown: the command failed, and may have done something.
  using Answer = Result<RedisReply>;

  // Of one answer: its bytes, the elements of all its lists, and how deep lists stand in lists.
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20U;
  static constexpr std::size_t kMaxElements = 65536;
  static constexpr std::size_t kMaxDepth = 8;
  // Of all answers to a pipeline.
  static constexpr std::size_t kMaxBytesTogether = 16 * kMaxBytes;
  static constexpr std::size_t kMaxElementsTogether = 8 * kMaxElements;

  // Takes bytes, and appends the answers that are complete to `answers`. False if the bytes break the
  // protocol or a bound: then no more can be read from this connection.
  bool Take(std::string_view bytes, std::vector<Answer>& answers);

  // Whether the bytes end within an answer.
  bool has_part() const { return !buffer_.empty() || !open_.empty(); }

 private:
  enum class Read { kItem, kMore, kBroken };
  struct Item {
    RedisReply reply = {};
    std::string error = {};  // not empty: Redis reports an error
    bool opens = false;      // it is a list whose elements follow
  };
  struct List {
    std::vector<RedisReply> elements;
    std::size_t missing;
  };

  Read ReadItem(Item& item);
  Read ReadText(std::int64_t size, std::size_t begin, Item& item);
  bool OpenList(std::int64_t size, Item& item);
  // Puts a complete item into the list that it belongs to, or behind the answers.
  void Place(Item item, std::vector<Answer>& answers);

  std::string buffer_;        // what is not read yet
  std::size_t at_ = 0;        // how much of it is read
  std::vector<List> open_;    // the lists whose elements are being read, the outermost first
  std::size_t bytes_ = 0;     // of the answer that is being read, as far as they are read
  std::size_t elements_ = 0;  // of that answer, as far as they are announced
  std::size_t bytes_together_ = 0;
  std::size_t elements_together_ = 0;
};

}  // namespace tokend::state
