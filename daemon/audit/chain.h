#pragma once

#include <cstdint>
#include <string>

#include "daemon/audit/record_line.h"
#include "daemon/loop/event_loop.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// The last line of a log. The next line holds its hash.
struct Head {
  std::uint64_t sequence = 0;  // 0: the log has no line
  std::string hash = std::string(64, '0');
};

// Gives records their seq, time and prev. The time is the wall clock's, also where that steps back: the order
// of records is that of their seq. One thread at a time.
class Chain {
 public:
  // `config` is the fingerprint of the configuration in effect, for records that name none.
  Chain(Head head, std::string config, const loop::Clock& clock);

  // Makes the record the new head, and returns its line without a newline.
  std::string Add(v1::Record& record);

  // Adds an audit.recovered, the first record after a fault, and returns its line with a newline.
  std::string AddRecovered(std::string_view damage);

  void UseConfig(std::string config) { config_ = std::move(config); }

  const Head& head() const { return head_; }

  // Forgets every record since `head` was the head.
  void Rewind(Head head) { head_ = std::move(head); }

 private:
  Head head_;
  std::string config_;
  const loop::Clock& clock_;
};

}  // namespace tokend::audit
