#include "client/anchors.h"

#include <memory>
#include <optional>

#include "client/input_file.h"
#include "daemon/audit/log_reader.h"
#include "daemon/config/units.h"

namespace tokend::client {
namespace {

constexpr std::string_view kEvent = "audit.checkpoint";
constexpr std::string_view kJsonEvent = "\"event\":\"audit.checkpoint\"";
constexpr std::size_t kHashDigits = 64;

bool IsHash(std::string_view text) {
  return text.size() == kHashDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The text behind "event": the fields of an audit.checkpoint line. Nothing for any other line. A value that
// only looks like one is quoted (text) or has its quotes escaped (JSON).
std::optional<std::string_view> FieldsOf(std::string_view line) {
  if (const std::size_t json = line.find(kJsonEvent); json != std::string_view::npos) {
    return line.substr(json + kJsonEvent.size());
  }
  const std::size_t at = line.find(kEvent);
  if (at == std::string_view::npos || at == 0 || line[at - 1] != ' ' || line.find('"') < at) {
    return std::nullopt;
  }
  const std::string_view fields = line.substr(at + kEvent.size());
  return fields.starts_with(' ') ? std::optional(fields) : std::nullopt;
}

// The value behind ` key=` or `"key":`, up to a character that ends a number or a hash.
std::string_view ValueOf(std::string_view fields, const std::string& key) {
  for (const std::string& name : {" " + key + "=", "\"" + key + "\":"}) {
    const std::size_t at = fields.find(name);
    if (at == std::string_view::npos) continue;
    std::string_view value = fields.substr(at + name.size());
    if (value.starts_with('"')) value.remove_prefix(1);
    return value.substr(0, value.find_first_not_of("0123456789abcdef"));
  }
  return {};
}

}  // namespace

Status Anchors::Add(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::optional<std::uint64_t> seq = config::ParseNumber(text.substr(0, colon));
  const std::string_view prev = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (seq.value_or(0) == 0 || !IsHash(prev)) {
    return absl::InvalidArgumentError("must be SEQ:PREV of a checkpoint, and PREV 64 lower-case hex digits");
  }
  anchors_[*seq].emplace(prev, false);
  return absl::OkStatus();
}

Status Anchors::AddFrom(const std::string& path) {
  Result<std::unique_ptr<InputFile>> file = InputFile::Open(path == "-" ? "/dev/stdin" : path);
  if (!file.ok()) return file.status();
  audit::LineReader lines(**file);
  std::uint64_t number = 0;
  bool found = false;
  while (true) {
    const auto line = lines.Next();
    if (!line.ok()) return line.status();
    if (!line->has_value()) break;
    ++number;
    const std::optional<std::string_view> fields = FieldsOf((*line)->text);
    if (!fields) continue;
    found = true;
    const std::string anchor =
        std::string(ValueOf(*fields, "seq")) + ":" + std::string(ValueOf(*fields, "prev"));
    if (!Add(anchor).ok()) {
      return absl::InvalidArgumentError(path + ": line " + std::to_string(number) +
                                        " is an audit.checkpoint without its seq and prev");
    }
  }
  if (!found) return absl::InvalidArgumentError(path + ": has no audit.checkpoint line");
  return absl::OkStatus();
}

bool Anchors::Find(std::uint64_t seq, std::string_view prev) {
  const auto same = anchors_.find(seq);
  if (same == anchors_.end()) return false;
  const auto anchor = same->second.find(prev);
  if (anchor == same->second.end()) return false;
  anchor->second = true;
  return true;
}

std::vector<Anchors::Anchor> Anchors::Missing() const {
  std::vector<Anchor> missing;
  for (const auto& [seq, prevs] : anchors_) {
    for (const auto& [prev, found] : prevs) {
      if (!found) missing.push_back({seq, prev});
    }
  }
  return missing;
}

}  // namespace tokend::client
