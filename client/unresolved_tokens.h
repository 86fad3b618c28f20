#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/log_files.h"

namespace tokend::client {

// Collects the tokens of one log that somebody must look for in Applivery's dashboard: each token.withheld;
// and each token.unknown and each intent without an end, unless a later token.issued names the first intent
// of the same request_id in `resolves`. Memory grows with them, not with the log. One thread at a time.
class UnresolvedTokens {
 public:
  // Takes the next record of the log. Returns false where too many are collected.
  bool Take(const LogFiles::Line& line);

  struct Entry {
    std::uint64_t seq = 0;
    std::string line;
    std::string file;
  };
  // What is left at the end of the log, in its order.
  std::vector<Entry> Finish();

  // The number of the log's first record.
  std::uint64_t first() const { return first_; }
  // A record is missing behind the first one, or a damaged line stands before it.
  bool missing() const { return missing_; }

 private:
  struct Open {
    std::uint64_t first = 0;  // the first intent of the request_id
    Entry entry;
  };

  void Forget(std::uint64_t from);

  std::map<std::uint64_t, Open> intents_;  // without an end so far, by number
  std::map<std::uint64_t, Open> ends_;     // token.unknown and token.withheld, by number
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  bool missing_ = false;
};

}  // namespace tokend::client
