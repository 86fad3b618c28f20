#include "daemon/audit/log_reader.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/functional/function_ref.h"
#include "daemon/audit/record_line.h"

namespace tokend::audit {
namespace {

constexpr std::size_t kBuffer = 16 * kMaxLine;
// JSON readers that hold numbers as doubles are exact up to this number.
constexpr std::uint64_t kMaxSequence = std::uint64_t{1} << 53U;

constexpr std::uint64_t kMaxHttpStatus = 999;

using simdjson::dom::element;
using simdjson::dom::object;

// Reads the members of one object. A member that is absent is left as it is; `fits` becomes false where one
// has the wrong type.
struct Members {
  object from;
  bool& fits;

  void Text(std::string_view key, std::string* to) const {
    element value;
    if (from.at_key(key).get(value) != simdjson::SUCCESS) return;
    std::string_view text;
    fits = value.get(text) == simdjson::SUCCESS && fits;
    to->assign(text);
  }

  template <class T = std::uint64_t>
  T Number(std::string_view key) const {
    element value;
    T number = 0;
    if (from.at_key(key).get(value) == simdjson::SUCCESS) {
      fits = value.get(number) == simdjson::SUCCESS && fits;
    }
    return number;
  }

  // Passes the members of an object within this one to `read`.
  void Object(std::string_view key, absl::FunctionRef<void(const Members&)> read) const {
    object inner;
    if (from.at_key(key).get(inner) == simdjson::SUCCESS) read({inner, fits});
  }
};

void ReadTarget(const Members& target, v1::Target& to) {
  simdjson::dom::array scopes;
  if (target.from.at_key("scopes").get(scopes) == simdjson::SUCCESS) {
    for (const element scope : scopes) {
      std::string_view text;
      target.fits = scope.get(text) == simdjson::SUCCESS && target.fits;
      to.add_scopes(std::string(text));
    }
  }
  target.Text("organization", to.mutable_organization());
  target.Text("application", to.mutable_application());
  target.Text("description", to.mutable_description());
}

void ReadUpstream(const Members& upstream, v1::Upstream& to) {
  const std::uint64_t http_status = upstream.Number("http_status");
  upstream.fits = upstream.fits && http_status <= kMaxHttpStatus;
  to.set_http_status(static_cast<std::int32_t>(http_status));
  to.set_error_code(upstream.Number<std::int64_t>("error_code"));
  to.set_latency_us(static_cast<std::int64_t>(upstream.Number("latency_us")));
  to.set_key_generation(upstream.Number("key_generation"));
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

  bool fits = true;
  const Members members{from, fits};
  v1::Record record;
  const std::uint64_t sequence = members.Number("seq");
  std::string time;
  members.Text("time", &time);
  members.Text("event", record.mutable_event());
  members.Text("request_id", record.mutable_request_id());
  record.set_intent(members.Number("intent"));
  record.set_resolves(members.Number("resolves"));
  members.Object("caller", [&](const Members& caller) {
    v1::Caller& to = *record.mutable_caller();
    caller.Text("name", to.mutable_name());
    caller.Text("authentication", to.mutable_authentication());
    caller.Text("listener", to.mutable_listener());
    caller.Text("peer", to.mutable_peer());
    caller.Text("on_behalf_of", to.mutable_on_behalf_of());
  });
  members.Text("digest", record.mutable_digest());
  members.Text("trace", record.mutable_trace());
  members.Object("target", [&](const Members& target) { ReadTarget(target, *record.mutable_target()); });
  members.Text("grant", record.mutable_grant());
  members.Text("config", record.mutable_config());
  members.Object("upstream",
                 [&](const Members& upstream) { ReadUpstream(upstream, *record.mutable_upstream()); });
  members.Object("token", [&](const Members& token) {
    v1::Token& to = *record.mutable_token();
    token.Text("id", to.mutable_id());
    token.Text("organization", to.mutable_organization());
    token.Text("application", to.mutable_application());
    token.Text("fingerprint", to.mutable_fingerprint());
    token.Text("fingerprint_key", to.mutable_fingerprint_key());
  });
  members.Text("reason", record.mutable_reason());
  members.Text("detail", record.mutable_detail());
  record.set_count(members.Number("count"));
  members.Text("signature", record.mutable_signature());
  members.Text("prev", record.mutable_prev());
  const std::optional<RecordTime> parsed_time = ParseTime(time);
  if (!fits || sequence == 0 || sequence > kMaxSequence || !parsed_time || record.event().empty() ||
      !IsHash(record.prev())) {
    return std::nullopt;
  }
  record.set_seq(sequence);
  SetTime(*parsed_time, record);
  return record;
}

}  // namespace tokend::audit
