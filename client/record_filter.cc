#include "client/record_filter.h"

#include <absl/time/time.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "daemon/audit/events.h"
#include "daemon/base/form.h"
#include "daemon/config/units.h"

namespace tokend::client {
namespace {

// The bearer on standard input.
Result<Bearer> ReadBearer() {
  std::array<char, kMaxBearerBytes + 3> buffer{};
  const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), stdin);
  std::string_view text(buffer.data(), got);
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  Bearer bearer(text);
  OPENSSL_cleanse(buffer.data(), buffer.size());
  if (bearer.empty() || bearer.size() > kMaxBearerBytes) {
    return absl::InvalidArgumentError("standard input must hold one token: 1 to 128 characters");
  }
  return bearer;
}

// A misspelt event would match no record, and that would look like an answer.
Status CheckEvent(const std::string& name) {
  if (name.empty() || audit::FindEvent(name) != nullptr) return absl::OkStatus();
  std::string names;
  for (const audit::Event* event : audit::kEvents)
    names += (names.empty() ? "" : ", ") + std::string(event->name);
  return absl::InvalidArgumentError("--event: must be one of " + names);
}

Status SetPattern(std::string_view option, const std::string& text, std::optional<PatternSet>* pattern) {
  if (text.empty()) return absl::OkStatus();
  if (text != "*") {
    const Result<Pattern> parsed = Pattern::Parse(text);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(std::string(option) + ": " + std::string(parsed.status().message()));
    }
  }
  pattern->emplace(std::vector<std::string>{text});
  return absl::OkStatus();
}

bool Fits(const std::optional<PatternSet>& pattern, std::string_view name) {
  return !pattern || pattern->Matches(name);
}

// A name that was asked for, or the id that upstream answered.
bool FitsEither(const std::optional<PatternSet>& pattern, std::string_view asked, std::string_view answered) {
  return Fits(pattern, asked) || (!answered.empty() && pattern->Matches(answered));
}

Status SetTime(std::string_view option, const std::string& text, audit::RecordTime now,
               std::optional<audit::RecordTime>* time) {
  if (text.empty()) return absl::OkStatus();
  *time = ParseMoment(text, now);
  if (*time) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(option) +
                                    ": must be a time such as 2026-01-31T08:00:00Z, a date such as "
                                    "2026-01-31, or an age such as 7d, 12h or 30m");
}

std::optional<audit::RecordTime> ParseAge(std::string_view text, audit::RecordTime now) {
  constexpr std::string_view kUnits = "smhdw";
  constexpr std::uint64_t kDay = 86'400;
  constexpr std::uint64_t kMaxSeconds = 3'660'000 * kDay;
  constexpr std::array<std::uint64_t, 5> kSeconds = {1, 60, 3600, kDay, 7 * kDay};
  if (text.empty()) return std::nullopt;
  const std::size_t unit = kUnits.find(text.back());
  const std::optional<std::uint64_t> count = config::ParseNumber(text.substr(0, text.size() - 1));
  if (unit == std::string_view::npos || !count || *count > kMaxSeconds / kSeconds[unit]) return std::nullopt;
  return now - std::chrono::seconds(*count * kSeconds[unit]);
}

}  // namespace

std::optional<audit::RecordTime> ParseMoment(std::string_view text, audit::RecordTime now) {
  if (std::optional<audit::RecordTime> age = ParseAge(text, now)) return age;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, std::string(text), &time, &error) &&
      !(text.size() == 10 &&
        absl::ParseTime("%Y-%m-%d", std::string(text), absl::UTCTimeZone(), &time, &error))) {
    return std::nullopt;
  }
  return std::chrono::floor<std::chrono::microseconds>(absl::ToChronoTime(time));
}

Result<RecordFilter> RecordFilter::Make(const FindArguments& asked) {
  RecordFilter filter;
  if (!asked.request_id.empty()) {
    std::optional<std::string> request_id = ParseUuid(asked.request_id);
    if (!request_id)
      return absl::InvalidArgumentError("--request-id: must be a UUID (8-4-4-4-12 hex digits)");
    filter.request_id_ = *std::move(request_id);
  }
  if (Status known = CheckEvent(asked.event); !known.ok()) return known;
  filter.event_ = asked.event;
  filter.token_ids_ = asked.token_ids;
  if (Status set = filter.SetPatterns(asked); !set.ok()) return set;
  if (Status set = filter.SetTimes(asked); !set.ok()) return set;
  if (Status set = filter.SetToken(asked); !set.ok()) return set;
  return filter;
}

Status RecordFilter::SetPatterns(const FindArguments& asked) {
  Status status = SetPattern("--caller", asked.caller, &caller_);
  if (status.ok()) status = SetPattern("--app", asked.application, &application_);
  if (status.ok()) status = SetPattern("--org", asked.organization, &organization_);
  if (status.ok()) status = SetPattern("--grant", asked.grant, &grant_);
  return status;
}

Status RecordFilter::SetTimes(const FindArguments& asked) {
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  if (Status set = SetTime("--since", asked.since, now, &since_); !set.ok()) return set;
  return SetTime("--until", asked.until, now, &until_);
}

Status RecordFilter::SetToken(const FindArguments& asked) {
  if (asked.token.empty()) return absl::OkStatus();
  if (asked.token != "-") {
    return absl::InvalidArgumentError(
        "--token: must be -, for standard input: other users could read a token on the command line");
  }
  if (asked.fingerprint_key.empty())
    return absl::InvalidArgumentError("--token - needs --fingerprint-key FILE");
  const Result<audit::Fingerprinter> key = audit::Fingerprinter::FromFile(asked.fingerprint_key);
  if (!key.ok()) return key.status();
  const Result<Bearer> bearer = ReadBearer();
  if (!bearer.ok()) return bearer.status();
  fingerprint_ = key->Of(*bearer);
  fingerprint_key_ = key->KeyName();
  return absl::OkStatus();
}

bool RecordFilter::Matches(const audit::RecordView& record) {
  if (!MatchesRest(record)) return false;
  const audit::RecordView::Token& token = record.token;
  if (fingerprint_.empty() || token.fingerprint == fingerprint_) return true;
  if (token.fingerprint.empty()) return false;
  if (token.fingerprint_key.empty()) {
    ++unnamed_key_;
  } else if (token.fingerprint_key != fingerprint_key_) {
    ++other_key_;
  }
  return false;
}

bool RecordFilter::MatchesRest(const audit::RecordView& record) const {
  const bool token_id = token_ids_.empty() ||
                        std::find(token_ids_.begin(), token_ids_.end(), record.token.id) != token_ids_.end();
  return token_id && (request_id_.empty() || record.request_id == request_id_) &&
         (event_.empty() || record.event == event_) && (!since_ || record.time >= *since_) &&
         (!until_ || record.time < *until_) && Fits(caller_, record.caller.name) &&
         Fits(grant_, record.grant) &&
         FitsEither(application_, record.target.application, record.token.application) &&
         FitsEither(organization_, record.target.organization, record.token.organization);
}

}  // namespace tokend::client
