#include "daemon/audit/log_note.h"

#include <algorithm>

namespace tokend::audit {
namespace {

constexpr std::string_view kBegun = "begun";
constexpr std::string_view kLostAt = "lost at ";

}  // namespace

std::string ToText(const LogNote& note) {
  std::string text;
  if (note.begun) text.append(kBegun).append("\n");
  if (note.lost_at) text.append(kLostAt).append(TimeText(*note.lost_at)).append("\n");
  return text;
}

LogNote ParseNote(std::string_view text) {
  LogNote note;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line == kBegun) note.begun = true;
    if (line.starts_with(kLostAt)) note.lost_at = ParseTime(line.substr(kLostAt.size()));
  }
  return note;
}

Result<LogNote> ReadNote(LogStore& store) {
  const Result<std::string> text = store.ReadLockFile();
  if (!text.ok()) return text.status();
  return ParseNote(*text);
}

Status WriteNote(LogStore& store, const LogNote& note) { return store.WriteLockFile(ToText(note)); }

}  // namespace tokend::audit
