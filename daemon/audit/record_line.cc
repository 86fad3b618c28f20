#include "daemon/audit/record_line.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "daemon/audit/events.h"
#include "daemon/base/form.h"
#include "daemon/base/json.h"

namespace tokend::audit {
namespace {

constexpr std::string_view kTimeShape = "dddd-dd-ddTdd:dd:dd.ddddddZ";
constexpr std::size_t kUncut = std::string_view::npos;

// The lengths to which a record's texts are cut, in bytes.
struct TextLimits {
  std::size_t caller;
  std::size_t target;
  std::size_t detail;
};

bool IsRequest(const v1::Record& record) { return RoleOf(record) == Event::Role::kRequest; }

void WriteCaller(const v1::Caller& caller, std::size_t limit, JsonObject& object) {
  object.Text("name", CutUtf8(caller.name(), limit));
  object.Text("authentication", caller.authentication());
  object.Text("listener", CutUtf8(caller.listener(), limit));
  object.Text("peer", CutUtf8(caller.peer(), limit));
  object.Text("on_behalf_of", CutUtf8(caller.on_behalf_of(), limit));
}

void WriteScopes(const v1::Target& target, std::size_t limit, JsonArray& array) {
  std::size_t room = limit;
  for (const std::string& scope : target.scopes()) {
    if (room == 0) break;
    const std::string_view cut = CutUtf8(scope, room);
    if (limit != kUncut) room -= std::max<std::size_t>(cut.size(), 1);
    array.Element(cut);
  }
}

void WriteTarget(const v1::Target& target, std::size_t limit, JsonObject& object) {
  object.Text("organization", CutUtf8(target.organization(), limit));
  object.Text("application", CutUtf8(target.application(), limit));
  object.Nested<JsonArray>("scopes", [&](JsonArray& scopes) { WriteScopes(target, limit, scopes); });
  object.Text("description", CutUtf8(target.description(), limit));
}

void WriteUpstream(const v1::Upstream& upstream, JsonObject& object) {
  object.Number("http_status", upstream.http_status());
  object.Number("error_code", upstream.error_code());
  object.Number("latency_us", upstream.latency_us());
  object.Number("key_generation", upstream.key_generation());
}

void WriteToken(const v1::Token& token, JsonObject& object) {
  object.Text("id", token.id());
  object.Text("organization", token.organization());
  object.Text("application", token.application());
  object.Text("fingerprint", token.fingerprint());
  object.Text("fingerprint_key", token.fingerprint_key());
}

std::string ToLine(const v1::Record& record, const TextLimits& limits) {
  std::string out;
  out.reserve(1024);
  JsonObject object(out);
  object.Number("seq", record.seq());
  if (record.has_time()) object.Text("time", TimeText(TimeOf(record)));
  object.Text("event", record.event());
  object.Text("request_id", CutUtf8(record.request_id(), limits.detail));
  object.Number("intent", record.intent());
  object.Nested("caller", [&](JsonObject& caller) { WriteCaller(record.caller(), limits.caller, caller); });
  object.Text("digest", record.digest());
  object.Number("resolves", record.resolves());
  object.Text("trace", record.trace());
  object.Nested("target", [&](JsonObject& target) { WriteTarget(record.target(), limits.target, target); });
  object.Text("grant", CutUtf8(record.grant(), limits.detail));
  object.Text("config", record.config());
  object.Nested("upstream", [&](JsonObject& upstream) { WriteUpstream(record.upstream(), upstream); });
  object.Nested("token", [&](JsonObject& token) { WriteToken(record.token(), token); });
  object.Text("reason", record.reason());
  object.Text("detail", CutUtf8(record.detail(), limits.detail));
  object.Number("count", record.count());
  object.Text("signature", record.signature());
  object.Text("prev", record.prev());
  object.End();
  return out;
}

}  // namespace

RecordTime TimeOf(const v1::Record& record) {
  return RecordTime(std::chrono::seconds(record.time().seconds()) +
                    std::chrono::microseconds(record.time().nanos() / 1000));
}

void SetTime(RecordTime time, v1::Record& record) {
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  record.mutable_time()->set_seconds(second.time_since_epoch().count());
  record.mutable_time()->set_nanos(static_cast<std::int32_t>((time - second).count() * 1000));
}

std::string TimeText(RecordTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  const auto two = [](auto number) { return absl::Dec(number, absl::kZeroPad2); };
  return absl::StrCat(absl::Dec(static_cast<int>(date.year()), absl::kZeroPad4), "-",
                      two(static_cast<unsigned>(date.month())), "-", two(static_cast<unsigned>(date.day())),
                      "T", two(clock.hours().count()), ":", two(clock.minutes().count()), ":",
                      two(clock.seconds().count()), ".",
                      absl::Dec(clock.subseconds().count(), absl::kZeroPad6), "Z");
}

std::optional<RecordTime> ParseTime(std::string_view text) {
  if (text.size() != kTimeShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool fits = kTimeShape[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == kTimeShape[i];
    if (!fits) return std::nullopt;
  }
  const auto number = [text](std::size_t from, std::size_t length) {
    int value = 0;
    for (const char digit : text.substr(from, length)) value = value * 10 + (digit - '0');
    return value;
  };
  const std::chrono::year_month_day date(std::chrono::year(number(0, 4)),
                                         std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                         std::chrono::day(static_cast<unsigned>(number(8, 2))));
  if (!date.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 59) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(number(11, 2)) +
         std::chrono::minutes(number(14, 2)) + std::chrono::seconds(number(17, 2)) +
         std::chrono::microseconds(number(20, 6));
}

void CutRequestTexts(v1::Record& record) {
  if (!IsRequest(record) || !record.has_target()) return;
  v1::Target& target = *record.mutable_target();
  for (std::string* text :
       {target.mutable_organization(), target.mutable_application(), target.mutable_description()}) {
    text->resize(CutUtf8(*text, kMaxRequestText).size());
  }
  std::size_t room = kMaxRequestText;
  int kept = 0;
  while (kept < target.scopes_size() && room > 0) {
    std::string& scope = *target.mutable_scopes(kept++);
    scope.resize(CutUtf8(scope, room).size());
    room -= std::max<std::size_t>(scope.size(), 1);
  }
  target.mutable_scopes()->DeleteSubrange(kept, target.scopes_size() - kept);
}

std::string ToLine(const v1::Record& record) {
  // An escaped character takes six bytes, so a line may be too long with the first limits. A valid target
  // always fits with the first or the second.
  const bool request = IsRequest(record);
  const std::array<TextLimits, 3> attempts = {
      TextLimits{kMaxCallerName, request ? kMaxRequestText : kUncut, kMaxDetail},
      TextLimits{256, request ? 256 : kUncut, 256}, TextLimits{128, 128, 128}};
  std::string line;
  for (const TextLimits& limits : attempts) {
    line = ToLine(record, limits);
    if (line.size() < kMaxLine) break;
  }
  return line;
}

}  // namespace tokend::audit
