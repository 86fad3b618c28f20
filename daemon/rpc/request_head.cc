#include "daemon/rpc/request_head.h"

#include "daemon/rpc/bounds.h"
#include "daemon/rpc/wire_text.h"

namespace tokend::rpc {

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
    trace = trace ? std::string() : TraceIdOf(value);
  } else if (name.ends_with("-bin")) {
    has_bad_binary = has_bad_binary || !IsBinary(value);
  }
}

void RequestHead::Count(std::string_view name, std::string_view value) {
  bytes += name.size() + value.size() + kFieldOverhead;
}

bool RequestHead::IsTooLarge() const { return bytes > bounds::kMaxMetadataBytes; }

std::size_t RequestHead::HeldBytes() const {
  std::size_t held = method.size() + path.size() + content_type.size() + trace.value_or("").size();
  for (const Secret& value : authorization) held += value.size();
  return held;
}

void RequestHead::ReleaseTexts() {
  for (std::string* const text : {&method, &path, &content_type}) std::string().swap(*text);
  trace.reset();
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
  if (failure.fields.empty()) return std::nullopt;
  failure.detail = failure.fields.front().field + " " + failure.fields.front().description;
  return failure;
}

}  // namespace tokend::rpc
