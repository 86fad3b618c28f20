#include "client/unresolved_tokens.h"

#include <utility>

#include "daemon/audit/events.h"

namespace tokend::client {
namespace {

using audit::Event;

// A daemon has at most some ten thousand intents without an end at a time.
constexpr std::size_t kMaxEntries = 1'000'000;
constexpr std::uint64_t kNone = 0;  // no intent has this number

}  // namespace

bool UnresolvedTokens::Take(const LogFiles::Line& line) {
  const audit::RecordView& record = *line.record;
  const bool is_first = first_ == 0;
  if (is_first) first_ = record.seq;
  if (is_first ? line.damaged > 0 && record.seq > 1 : record.seq > last_ + 1) missing_ = true;
  if (record.seq <= last_ && record.event == audit::event::kAuditRecovered) Forget(record.seq);
  last_ = record.seq;

  const Event* const event = audit::FindEvent(record.event);
  if (event == nullptr) return true;
  const auto entry = [&] { return Entry{record.seq, std::string(line.text), *line.file}; };
  if (event->role == Event::Role::kIntent) {
    const std::uint64_t first = record.resolves != 0 ? record.resolves : record.seq;
    intents_.insert_or_assign(record.seq, Open{first, entry()});
  } else if (event->role == Event::Role::kEnd) {
    const auto intent = intents_.find(record.intent);
    std::uint64_t first = record.resolves;
    if (first == 0) first = intent != intents_.end() ? intent->second.first : record.intent;
    if (intent != intents_.end()) intents_.erase(intent);
    if (event->token == Event::Token::kIssued && record.resolves != 0) {
      const auto resolved = [&](const auto& open) { return open.second.first == record.resolves; };
      std::erase_if(intents_, resolved);
      std::erase_if(ends_, resolved);
    }
    if (event->unresolved()) {
      const bool withheld = event->token == Event::Token::kWithheld;
      ends_.insert_or_assign(record.seq, Open{withheld ? kNone : first, entry()});
    }
  }
  return intents_.size() + ends_.size() <= kMaxEntries;
}

// An audit.recovered takes the place of the lines from that number on.
void UnresolvedTokens::Forget(std::uint64_t from) {
  intents_.erase(intents_.lower_bound(from), intents_.end());
  ends_.erase(ends_.lower_bound(from), ends_.end());
}

std::vector<UnresolvedTokens::Entry> UnresolvedTokens::Finish() {
  ends_.merge(intents_);
  std::vector<Entry> entries;
  entries.reserve(ends_.size());
  for (auto& [seq, open] : ends_) entries.push_back(std::move(open.entry));
  return entries;
}

}  // namespace tokend::client
