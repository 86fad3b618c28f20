#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/secret.h"
#include "daemon/base/token_request.h"

namespace tokend::rpc {

// The parts of a request's header block that are used. Other metadata is counted and discarded.
struct RequestHead {
  std::string method;  // ":method"
  std::string path;    // ":path"
  std::string content_type;
  std::optional<std::chrono::nanoseconds> timeout;  // "grpc-timeout"
  bool has_bad_timeout = false;
  std::vector<Secret> authorization;       // all values, as sent
  std::optional<std::string> traceparent;  // empty if it is not valid, too long or given twice
  std::optional<Relayed> relayed;          // what a relay says; nothing: the call has no metadata of a relay
  bool has_bad_binary = false;             // a "-bin" header is not valid base64
  std::size_t bytes = 0;  // the block's size by the rule of SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113, 6.5.2)

  // Adds one header. Beyond bounds::kMaxMetadataBytes it only counts.
  void Add(std::string_view name, std::string_view value);

  // The trace-id of `traceparent`, or empty.
  std::string trace() const;

  // Counts a header and discards it.
  void Count(std::string_view name, std::string_view value);

  bool IsTooLarge() const;

  // The memory of the texts.
  std::size_t HeldBytes() const;
  // Frees the texts.
  void ReleaseTexts();

  // The failure of a call whose metadata is malformed, with one violation for each key; nothing if it is
  // well-formed.
  std::optional<Failure> Validate() const;

 private:
  void AddRelayed(std::string_view name, std::string_view value);

  // One bit for each key of a relay's metadata.
  unsigned relayed_given_ = 0;
  unsigned relayed_repeated_ = 0;
  unsigned relayed_malformed_ = 0;
};

}  // namespace tokend::rpc
