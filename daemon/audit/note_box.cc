#include "daemon/audit/note_box.h"

#include <utility>

#include "daemon/audit/record_line.h"

namespace tokend::audit {
namespace {

// A record's fields with their lengths: no two different lists of fields give the same text.
void AppendField(const std::string& field, std::string& key) {
  key += std::to_string(field.size());
  key += ':';
  key += field;
}

std::string KeyOf(const v1::Record& record) {
  std::string key;
  AppendField(record.event(), key);
  AppendField(record.caller().name(), key);
  AppendField(record.caller().listener(), key);
  AppendField(record.reason(), key);
  AppendField(record.target().organization(), key);
  AppendField(record.target().application(), key);
  AppendField(record.target().description(), key);
  for (const std::string& scope : record.target().scopes()) AppendField(scope, key);
  return key;
}

}  // namespace

void NoteBox::Add(v1::Record record, Time now) {
  CutRequestTexts(record);
  std::string key = KeyOf(record);
  auto found = index_.find(key);
  if (found == index_.end() && notes_.size() >= kMaxNotes) {
    record.clear_target();
    key = KeyOf(record);
    found = index_.find(key);
  }
  if (found == index_.end() && notes_.size() >= 2 * kMaxNotes) {
    record.clear_caller();
    record.clear_request_id();
    key = KeyOf(record);
    found = index_.find(key);
  }
  if (found == index_.end()) {
    index_.emplace(key, taken_ + notes_.size());
    notes_.push_back(Note{std::move(key), std::move(record), 1, now + window_});
    return;
  }
  Note& note = notes_[found->second - taken_];
  ++note.count;
  note.record.clear_request_id();
  // What they do not have in common the record cannot say.
  if (note.record.caller().peer() != record.caller().peer()) note.record.mutable_caller()->clear_peer();
  if (note.record.detail() != record.detail()) note.record.clear_detail();
  if (note.record.grant() != record.grant()) note.record.clear_grant();
}

std::optional<NoteBox::Time> NoteBox::due() const {
  if (notes_.empty()) return std::nullopt;
  return notes_.front().due;
}

std::vector<v1::Record> NoteBox::TakeDue(Time now) {
  std::vector<v1::Record> records;
  while (!notes_.empty() && notes_.front().due <= now) {
    Note& note = notes_.front();
    if (note.count > 1) note.record.set_count(note.count);
    records.push_back(std::move(note.record));
    index_.erase(note.key);
    notes_.pop_front();
    ++taken_;
  }
  return records;
}

}  // namespace tokend::audit
