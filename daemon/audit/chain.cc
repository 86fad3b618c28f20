#include "daemon/audit/chain.h"

#include <cassert>
#include <chrono>
#include <utility>

#include "daemon/audit/events.h"
#include "daemon/base/sha256.h"

namespace tokend::audit {

Chain::Chain(Head head, std::string config, const loop::Clock& clock)
    : head_(std::move(head)), config_(std::move(config)), clock_(clock) {}

std::string Chain::Add(v1::Record& record) {
  record.set_seq(++head_.sequence);
  SetTime(std::chrono::floor<std::chrono::microseconds>(clock_.WallNow()), record);
  if (record.config().empty()) record.set_config(config_);
  record.set_prev(std::move(head_.hash));
  std::string line = ToLine(record);
  assert(line.size() < kMaxLine);
  head_.hash = Sha256Hex(line);
  return line;
}

std::string Chain::AddRecovered(std::string_view damage) {
  v1::Record record;
  record.set_event(event::kAuditRecovered);
  record.set_detail(std::string(damage));
  return Add(record) + '\n';
}

}  // namespace tokend::audit
