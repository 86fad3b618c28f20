#include "daemon/audit/log_reader.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "daemon/audit/record_line.h"

namespace tokend::audit {
namespace {

constexpr std::size_t kBuffer = 16 * kMaxLine;
// JSON readers that hold numbers as doubles are exact up to this number.
constexpr std::uint64_t kMaxSequence = std::uint64_t{1} << 53U;

constexpr std::uint64_t kMaxHttpStatus = 999;

using simdjson::dom::element;
using simdjson::dom::object;

// Each of these reads one member. It returns false where the member has the wrong type, and true where it is
// absent.
bool ReadText(const object& from, std::string_view key, std::string* to) {
  element value;
  if (from.at_key(key).get(value) != simdjson::SUCCESS) return true;
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return false;
  to->assign(text);
  return true;
}

bool ReadNumber(const object& from, std::string_view key, std::uint64_t* to) {
  element value;
  if (from.at_key(key).get(value) != simdjson::SUCCESS) return true;
  return value.get_uint64().get(*to) == simdjson::SUCCESS;
}

bool ReadCaller(const object& from, v1::Record& record) {
  object caller;
  if (from.at_key("caller").get(caller) != simdjson::SUCCESS) return true;
  v1::Caller& to = *record.mutable_caller();
  return ReadText(caller, "name", to.mutable_name()) &&
         ReadText(caller, "authentication", to.mutable_authentication()) &&
         ReadText(caller, "listener", to.mutable_listener()) && ReadText(caller, "peer", to.mutable_peer());
}

bool ReadTarget(const object& from, v1::Record& record) {
  object target;
  if (from.at_key("target").get(target) != simdjson::SUCCESS) return true;
  v1::Target& to = *record.mutable_target();
  simdjson::dom::array scopes;
  if (target.at_key("scopes").get(scopes) == simdjson::SUCCESS) {
    for (const element scope : scopes) {
      std::string_view text;
      if (scope.get_string().get(text) != simdjson::SUCCESS) return false;
      to.add_scopes(std::string(text));
    }
  }
  return ReadText(target, "organization", to.mutable_organization()) &&
         ReadText(target, "application", to.mutable_application()) &&
         ReadText(target, "description", to.mutable_description());
}

bool ReadUpstream(const object& from, v1::Record& record) {
  object upstream;
  if (from.at_key("upstream").get(upstream) != simdjson::SUCCESS) return true;
  v1::Upstream& to = *record.mutable_upstream();
  std::uint64_t http_status = 0;
  std::uint64_t latency = 0;
  std::uint64_t generation = 0;
  std::int64_t code = 0;
  element value;
  const bool has_code = upstream.at_key("error_code").get(value) == simdjson::SUCCESS;
  if (has_code && value.get_int64().get(code) != simdjson::SUCCESS) return false;
  if (!ReadNumber(upstream, "http_status", &http_status) || !ReadNumber(upstream, "latency_us", &latency) ||
      !ReadNumber(upstream, "key_generation", &generation) || http_status > kMaxHttpStatus) {
    return false;
  }
  to.set_http_status(static_cast<std::int32_t>(http_status));
  to.set_error_code(code);
  to.set_latency_us(static_cast<std::int64_t>(latency));
  to.set_key_generation(generation);
  return true;
}

bool ReadToken(const object& from, v1::Record& record) {
  object token;
  if (from.at_key("token").get(token) != simdjson::SUCCESS) return true;
  v1::Token& to = *record.mutable_token();
  return ReadText(token, "id", to.mutable_id()) &&
         ReadText(token, "organization", to.mutable_organization()) &&
         ReadText(token, "application", to.mutable_application()) &&
         ReadText(token, "fingerprint", to.mutable_fingerprint()) &&
         ReadText(token, "fingerprint_key", to.mutable_fingerprint_key());
}

bool ReadRest(const object& from, v1::Record& record) {
  std::uint64_t count = 0;
  std::uint64_t resolves = 0;
  const bool read = ReadNumber(from, "resolves", &resolves) &&
                    ReadText(from, "config", record.mutable_config()) && ReadUpstream(from, record) &&
                    ReadToken(from, record) && ReadText(from, "reason", record.mutable_reason()) &&
                    ReadText(from, "detail", record.mutable_detail()) && ReadNumber(from, "count", &count) &&
                    ReadText(from, "signature", record.mutable_signature());
  record.set_count(count);
  record.set_resolves(resolves);
  return read;
}

bool IsHash(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

LineReader::LineReader(ReadFile& file) : file_(file), buffer_(kBuffer + simdjson::SIMDJSON_PADDING) {}

Result<bool> LineReader::Fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const Result<std::size_t> got = file_.Read(buffer_.data() + end_, kBuffer - end_);
  if (!got.ok()) return got.status();
  end_ += *got;
  return *got > 0;
}

Result<std::optional<LineReader::Line>> LineReader::Next() {
  bool oversized = false;
  while (true) {
    const std::string_view held(buffer_.data() + begin_, end_ - begin_);
    const std::size_t newline = held.find('\n');
    if (newline != std::string_view::npos) {
      begin_ += newline + 1;
      return Line{held.substr(0, newline), !oversized && newline < kMaxLine};
    }
    if (held.size() >= kMaxLine) {
      oversized = true;
      begin_ = end_;
    }
    const Result<bool> more = Fill();
    if (!more.ok()) return more.status();
    if (*more) continue;
    const std::string_view rest(buffer_.data() + begin_, end_ - begin_);
    begin_ = end_;
    if (rest.empty() && !oversized) return std::nullopt;
    cut_off_ = true;
    return Line{rest, false};
  }
}

std::optional<v1::Record> LineParser::Parse(std::string_view line) {
  element root;
  object from;
  if (parser_.parse(line.data(), line.size(), false).get(root) != simdjson::SUCCESS) return std::nullopt;
  if (root.get_object().get(from) != simdjson::SUCCESS) return std::nullopt;

  v1::Record record;
  std::uint64_t sequence = 0;
  std::uint64_t intent = 0;
  std::string time;
  const bool read = ReadNumber(from, "seq", &sequence) && ReadText(from, "time", &time) &&
                    ReadText(from, "event", record.mutable_event()) &&
                    ReadText(from, "request_id", record.mutable_request_id()) &&
                    ReadNumber(from, "intent", &intent) && ReadCaller(from, record) &&
                    ReadTarget(from, record) && ReadText(from, "grant", record.mutable_grant()) &&
                    ReadRest(from, record) && ReadText(from, "prev", record.mutable_prev());
  const std::optional<RecordTime> parsed_time = ParseTime(time);
  if (!read || sequence == 0 || sequence > kMaxSequence || !parsed_time || record.event().empty() ||
      !IsHash(record.prev())) {
    return std::nullopt;
  }
  record.set_seq(sequence);
  record.set_intent(intent);
  SetTime(*parsed_time, record);
  return record;
}

}  // namespace tokend::audit
