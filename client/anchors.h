#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace tokend::client {

// Checkpoints that were kept elsewhere: which of them a log holds. One thread at a time.
class Anchors {
 public:
  // Takes "SEQ:PREV". INVALID_ARGUMENT says what the text must be.
  Status Add(std::string_view text);

  // Takes each audit.checkpoint line of an operational log, in either of its formats. "-" is standard input.
  // INVALID_ARGUMENT names the file, and the line where such a line cannot be read; also where the file has
  // no such line.
  Status AddFrom(const std::string& path);

  bool empty() const { return anchors_.empty(); }

  // Whether one of the anchors is this record. Marks it as found.
  bool Find(std::uint64_t seq, std::string_view prev);

  struct Anchor {
    std::uint64_t seq = 0;
    std::string prev;
  };
  // Those that were not found, in the order of their numbers.
  std::vector<Anchor> Missing() const;

 private:
  // The prev of each anchor, and whether it was found, by the anchor's number.
  std::map<std::uint64_t, std::map<std::string, bool, std::less<>>> anchors_;
};

}  // namespace tokend::client
