#include "daemon/audit/refusal_aggregator.h"

#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/audit/record_line.h"

namespace tokend::audit {
namespace {

// Each field is preceded by its length, so two lists of fields have the same key only if they are equal.
std::string KeyOf(const v1::Record& record) {
  const v1::Caller& caller = record.caller();
  const v1::Target& target = record.target();
  std::string key;
  const auto append = [&key](const std::string& field) { absl::StrAppend(&key, field.size(), ":", field); };
  for (const std::string* field : {&record.event(), &caller.name(), &caller.listener(), &record.reason(),
                                   &target.organization(), &target.application(), &target.description()}) {
    append(*field);
  }
  for (const std::string& scope : target.scopes()) append(scope);
  return key;
}

}  // namespace

void RefusalAggregator::Add(v1::Record record, Time now) {
  CutRequestTexts(record);
  std::string key = KeyOf(record);
  auto found = index_.find(key);
  if (found == index_.end() && groups_.size() >= kMaxRecords) {
    record.clear_target();
    key = KeyOf(record);
    found = index_.find(key);
  }
  if (found == index_.end() && groups_.size() >= 2 * kMaxRecords) {
    record.clear_caller();
    record.clear_request_id();
    key = KeyOf(record);
    found = index_.find(key);
  }
  if (found == index_.end()) {
    index_.emplace(key, taken_ + groups_.size());
    groups_.push_back(Group{std::move(key), std::move(record), 1, now + window_});
    assert(index_.size() == groups_.size());
    return;
  }
  Group& group = groups_[found->second - taken_];
  assert(group.key == key);
  ++group.count;
  group.record.clear_request_id();
  if (group.record.caller().peer() != record.caller().peer()) group.record.mutable_caller()->clear_peer();
  if (group.record.detail() != record.detail()) group.record.clear_detail();
  if (group.record.grant() != record.grant()) group.record.clear_grant();
}

std::optional<RefusalAggregator::Time> RefusalAggregator::due() const {
  if (groups_.empty()) return std::nullopt;
  return groups_.front().due;
}

std::vector<v1::Record> RefusalAggregator::TakeDue(Time now) {
  std::vector<v1::Record> records;
  while (!groups_.empty() && groups_.front().due <= now) {
    Group& group = groups_.front();
    if (group.count > 1) group.record.set_count(group.count);
    records.push_back(std::move(group.record));
    index_.erase(group.key);
    groups_.pop_front();
    ++taken_;
  }
  return records;
}

}  // namespace tokend::audit
