#include "daemon/rpc/request_head.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>

#include "daemon/base/caller_name.h"
#include "daemon/base/relay_metadata.h"
#include "daemon/base/text.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/wire_text.h"

namespace tokend::rpc {
namespace {

// The most bytes of a "traceparent" that is passed on. Version 00 has 55 bytes.
constexpr std::size_t kMaxTraceparentBytes = 256;

// Metadata of a relay.
struct RelayedKey {
  std::string_view name;
  bool (*read)(std::string_view value, Relayed& relayed);  // returns false if the value has another form
  const char* form;
};

bool IsDigest(std::string_view text) {
  constexpr std::string_view kVersion = "1:";
  constexpr std::size_t kDigits = 64;
  return text.size() == kVersion.size() + kDigits && text.starts_with(kVersion) &&
         std::ranges::all_of(text.substr(kVersion.size()), IsHexDigit);
}

// With this many digits a number fits every unit of std::chrono.
std::optional<std::int64_t> ParseCount(std::string_view text) {
  constexpr std::size_t kMaxDigits = 9;
  if (text.empty() || text.size() > kMaxDigits || !std::ranges::all_of(text, IsDigit)) return std::nullopt;
  std::int64_t count = 0;
  for (const char digit : text) count = count * 10 + (digit - '0');
  return count;
}

constexpr RelayedKey kRelayedKeys[] = {
    {relay_metadata::kOnBehalfOf,
     [](std::string_view value, Relayed& relayed) {
       const bool is_name = IsCallerName(value);
       if (is_name) relayed.on_behalf_of = value;
       return is_name;
     },
     "must be 1 to 512 printable ASCII characters without spaces"},
    {relay_metadata::kRequestDigest,
     [](std::string_view value, Relayed& relayed) {
       const bool is_digest = IsDigest(value);
       if (is_digest) relayed.digest = Lower(value);
       return is_digest;
     },
     "must be \"1:\" and 64 hex digits"},
    {relay_metadata::kRequestAge,
     [](std::string_view value, Relayed& relayed) {
       const auto count = ParseCount(value);
       if (count) relayed.age = std::chrono::seconds(*count);
       return count.has_value();
     },
     "must be 1 to 9 digits: whole seconds"},
    {relay_metadata::kCallerTimeout,
     [](std::string_view value, Relayed& relayed) {
       const auto count = ParseCount(value);
       if (count) relayed.caller_timeout = std::chrono::milliseconds(*count);
       return count.has_value();
     },
     "must be 1 to 9 digits: whole milliseconds"},
};

}  // namespace

constexpr std::size_t kFieldOverhead = 32;  // bytes that each header counts in addition (RFC 9113, 6.5.2)

void RequestHead::Add(std::string_view name, std::string_view value) {
  Count(name, value);
  if (IsTooLarge()) return;
  if (name == ":method") {
    method = value;
  } else if (name == ":path") {
    path = value;
  } else if (name == "content-type") {
    if (content_type.empty()) content_type = value;
  } else if (name == "grpc-timeout") {
    timeout = ParseTimeout(value);
    has_bad_timeout = has_bad_timeout || !timeout;
  } else if (name == "authorization") {
    authorization.emplace_back(value);
  } else if (name == "traceparent") {
    // A relay passes it on, as metadata of gRPC.
    const bool is_kept = !traceparent && IsPrintableAscii(value) && value.size() <= kMaxTraceparentBytes &&
                         !TraceIdOf(value).empty();
    traceparent = is_kept ? std::string(value) : std::string();
  } else if (name.starts_with("tokend-")) {
    AddRelayed(name, value);
  } else if (name.ends_with("-bin")) {
    has_bad_binary = has_bad_binary || !IsBinary(value);
  }
}

void RequestHead::AddRelayed(std::string_view name, std::string_view value) {
  const auto* const key = std::ranges::find(kRelayedKeys, name, &RelayedKey::name);
  if (key == std::end(kRelayedKeys)) return;
  const auto bit = 1U << static_cast<unsigned>(key - kRelayedKeys);
  if (!relayed) relayed.emplace();
  if ((relayed_given_ & bit) != 0) {
    relayed_repeated_ |= bit;
  } else if (!key->read(value, *relayed)) {
    relayed_malformed_ |= bit;
  }
  relayed_given_ |= bit;
}

std::string RequestHead::trace() const { return traceparent ? TraceIdOf(*traceparent) : std::string(); }

void RequestHead::Count(std::string_view name, std::string_view value) {
  bytes += name.size() + value.size() + kFieldOverhead;
}

bool RequestHead::IsTooLarge() const { return bytes > bounds::kMaxMetadataBytes; }

std::size_t RequestHead::HeldBytes() const {
  std::size_t held = method.size() + path.size() + content_type.size();
  held += traceparent.value_or("").size();
  if (relayed) held += relayed->on_behalf_of.size() + relayed->digest.size();
  for (const Secret& value : authorization) held += value.size();
  return held;
}

void RequestHead::ReleaseTexts() {
  for (std::string* const text : {&method, &path, &content_type}) std::string().swap(*text);
  traceparent.reset();
  relayed.reset();
  std::vector<Secret>().swap(authorization);
}

std::optional<Failure> RequestHead::Validate() const {
  Failure failure{Reason::kInvalidRequest};
  if (has_bad_timeout) {
    failure.fields.push_back({"grpc-timeout", "must be 1 to 8 digits and one of H, M, S, m, u, n"});
  }
  if (has_bad_binary) {
    failure.fields.push_back({"metadata", "must be base64 where its key ends with \"-bin\""});
  }
  unsigned bit = 1;
  for (const RelayedKey& key : kRelayedKeys) {
    if ((relayed_malformed_ & bit) != 0) {
      failure.fields.push_back({std::string(key.name), key.form});
    } else if ((relayed_repeated_ & bit) != 0) {
      failure.fields.push_back({std::string(key.name), "must be given at most once"});
    }
    bit <<= 1U;
  }
  if (failure.fields.empty()) return std::nullopt;
  failure.detail = failure.fields.front().field + " " + failure.fields.front().description;
  return failure;
}

}  // namespace tokend::rpc
