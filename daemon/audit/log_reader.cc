#include "daemon/audit/log_reader.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <variant>

#include "daemon/base/overload.h"

namespace tokend::audit {
namespace {

constexpr std::size_t kBuffer = 16 * kMaxLine;
// JSON readers that hold numbers as doubles are exact up to this number.
constexpr std::uint64_t kMaxSequence = std::uint64_t{1} << 53U;

constexpr std::uint64_t kMaxHttpStatus = 999;

// The time of a record that has none. ParseTime returns no such time.
constexpr RecordTime kNoTime = RecordTime::max();

using simdjson::dom::element;
using simdjson::dom::object;

// A member of an object, and where its value goes in T. `fits` becomes false where the value has the wrong
// type.
template <class T>
struct Member {
  using Read = void (*)(const element& value, T& to, bool& fits);

  std::string_view key;
  std::variant<std::string_view T::*, std::uint64_t T::*, std::int64_t T::*, Read> place;

  void Take(const element& value, T& to, bool& fits) const {
    const auto get = [&](auto member) { fits = value.get(to.*member) == simdjson::SUCCESS && fits; };
    std::visit(
        Overload{[&](std::string_view T::*text) { get(text); },
                 [&](std::uint64_t T::*number) { get(number); },
                 [&](std::int64_t T::*number) { get(number); }, [&](Read read) { read(value, to, fits); }},
        place);
  }
};

// Reads the known members of an object. A line has them in the order of the table, so the search for each key
// begins behind the one before. Where a key is repeated, its first value counts.
template <class T, std::size_t N>
void ReadMembers(const object& from, const std::array<Member<T>, N>& members, T& to, bool& fits) {
  std::array<bool, N> seen{};
  std::size_t next = 0;
  for (const auto& [key, value] : from) {
    for (std::size_t tried = 0; tried < N; ++tried) {
      const std::size_t at = next;
      next = next + 1 == N ? 0 : next + 1;
      if (members[at].key != key) continue;
      if (!std::exchange(seen[at], true)) members[at].Take(value, to, fits);
      break;
    }
  }
}

using View = RecordView;

constexpr std::array kCaller = {
    Member<View::Caller>{"name", &View::Caller::name},
    Member<View::Caller>{"authentication", &View::Caller::authentication},
    Member<View::Caller>{"listener", &View::Caller::listener},
    Member<View::Caller>{"peer", &View::Caller::peer},
    Member<View::Caller>{"on_behalf_of", &View::Caller::on_behalf_of},
};

void ReadScopes(const element& value, View::Target& to, bool& fits) {
  simdjson::dom::array scopes;
  if (value.get(scopes) != simdjson::SUCCESS) return;
  for (const element scope : scopes) {
    std::string_view text;
    fits = scope.get(text) == simdjson::SUCCESS && fits;
    to.scopes.push_back(text);
  }
}

constexpr std::array kTarget = {
    Member<View::Target>{"organization", &View::Target::organization},
    Member<View::Target>{"application", &View::Target::application},
    Member<View::Target>{"scopes", ReadScopes},
    Member<View::Target>{"description", &View::Target::description},
};

constexpr std::array kUpstream = {
    Member<View::Upstream>{"http_status", &View::Upstream::http_status},
    Member<View::Upstream>{"error_code", &View::Upstream::error_code},
    Member<View::Upstream>{"latency_us", &View::Upstream::latency_us},
    Member<View::Upstream>{"key_generation", &View::Upstream::key_generation},
};

constexpr std::array kToken = {
    Member<View::Token>{"id", &View::Token::id},
    Member<View::Token>{"organization", &View::Token::organization},
    Member<View::Token>{"application", &View::Token::application},
    Member<View::Token>{"fingerprint", &View::Token::fingerprint},
    Member<View::Token>{"fingerprint_key", &View::Token::fingerprint_key},
};

// Reads the object within the record. A value of another type is passed over.
template <auto& kMembers, auto kPlace>
void ReadObject(const element& value, View& to, bool& fits) {
  object inner;
  if (value.get(inner) == simdjson::SUCCESS) ReadMembers(inner, kMembers, to.*kPlace, fits);
}

void ReadTime(const element& value, View& to, bool& fits) {
  std::string_view text;
  std::optional<RecordTime> time;
  if (value.get(text) == simdjson::SUCCESS) time = ParseTime(text);
  fits = fits && time.has_value();
  if (time) to.time = *time;
}

constexpr std::array kRecord = {
    Member<View>{"seq", &View::seq},
    Member<View>{"time", ReadTime},
    Member<View>{"event", &View::event},
    Member<View>{"request_id", &View::request_id},
    Member<View>{"intent", &View::intent},
    Member<View>{"caller", ReadObject<kCaller, &View::caller>},
    Member<View>{"digest", &View::digest},
    Member<View>{"resolves", &View::resolves},
    Member<View>{"trace", &View::trace},
    Member<View>{"target", ReadObject<kTarget, &View::target>},
    Member<View>{"grant", &View::grant},
    Member<View>{"config", &View::config},
    Member<View>{"upstream", ReadObject<kUpstream, &View::upstream>},
    Member<View>{"token", ReadObject<kToken, &View::token>},
    Member<View>{"reason", &View::reason},
    Member<View>{"detail", &View::detail},
    Member<View>{"count", &View::count},
    Member<View>{"signature", &View::signature},
    Member<View>{"prev", &View::prev},
};

bool IsHash(std::string_view text) {
  if (text.size() != 64) return false;
  bool fits = true;
  for (const char c : text) fits = ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) && fits;
  return fits;
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

const RecordView* LineParser::Parse(std::string_view line) {
  element root;
  object from;
  if (parser_.parse(line.data(), line.size(), false).get(root) != simdjson::SUCCESS) return nullptr;
  if (root.get(from) != simdjson::SUCCESS) return nullptr;

  std::vector<std::string_view> scopes = std::move(view_.target.scopes);
  scopes.clear();
  view_ = {};
  view_.target.scopes = std::move(scopes);
  view_.time = kNoTime;
  bool fits = true;
  ReadMembers(from, kRecord, view_, fits);
  fits = fits && view_.seq > 0 && view_.seq <= kMaxSequence && view_.time != kNoTime &&
         !view_.event.empty() && view_.upstream.http_status <= kMaxHttpStatus && IsHash(view_.prev);
  return fits ? &view_ : nullptr;
}

}  // namespace tokend::audit
