#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/audit/record_line.h"
#include "daemon/loop/event_loop.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// Lower-case hex.
std::string Sha256(std::string_view bytes);

// The last line of a log, to which the next one is chained.
struct Head {
  std::uint64_t sequence = 0;  // 0: there is none
  std::string hash = std::string(64, '0');
  RecordTime time{};
};

// Numbers, times and chains records. Time never goes back, whatever the wall clock does. One thread at a
// time.
class Chain {
 public:
  // `config` is the fingerprint of the configuration, for records that were not made by one.
  Chain(Head head, std::string config, const loop::Clock& clock);

  // Makes the record the next one, and the new head. Returns its line, without a newline.
  std::string Add(v1::Record& record);

  void UseConfig(std::string config) { config_ = std::move(config); }

  const Head& head() const { return head_; }

  // Takes back every record since `head` was the head.
  void Rewind(Head head) { head_ = std::move(head); }

 private:
  Head head_;
  std::string config_;
  const loop::Clock& clock_;
};

}  // namespace tokend::audit
