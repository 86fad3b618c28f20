#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.h"
#include "daemon/base/secret.h"

namespace tokend::rpc {

// What of a request's header block is used. Other metadata is counted and dropped.
struct RequestHead {
  std::string method;  // ":method"
  std::string path;    // ":path"
  std::string content_type;
  std::optional<std::chrono::nanoseconds> timeout;  // "grpc-timeout"
  bool has_bad_timeout = false;
  std::vector<Secret> authorization;  // each value, as sent
  bool has_bad_binary = false;        // a "-bin" header that is no base64
  std::size_t bytes = 0;  // of the block, as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2)

  // Takes one header. Past bounds::kMaxMetadataBytes it only counts.
  void Add(std::string_view name, std::string_view value);

  // Counts a header that nobody uses.
  void Count(std::string_view name, std::string_view value);

  bool IsTooLarge() const;

  // What the texts take.
  std::size_t HeldBytes() const;
  // Forgets the texts.
  void Drop();

  // Why the metadata is not well-formed, each key once; nothing: it is.
  std::optional<Failure> Judge() const;
};

}  // namespace tokend::rpc
