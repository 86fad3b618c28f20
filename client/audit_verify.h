#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "client/log_files.h"
#include "daemon/base/result.h"

namespace tokend::client {

struct VerifyOptions {
  std::string public_key_file;  // PEM, Ed25519; empty: signatures are not looked at
  // A checkpoint's sequence number and prev, as kept elsewhere.
  std::optional<std::pair<std::uint64_t, std::string>> anchor;
};

// What a walk through a log has found.
struct Verified {
  std::uint64_t records = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string head;                    // SHA-256 of the last line, hex
  std::uint64_t checkpoints = 0;       // whose signature is good, with a public key
  std::uint64_t unsigned_records = 0;  // behind the last of them

  struct Break {
    std::uint64_t seq = 0;
    std::string what;  // "changed", "missing", "inserted", "reordered", "cut off", "bad signature"
    std::string detail;
  };
  std::optional<Break> broken;  // the first
};

// Walks the chain. An error where a file or the key cannot be read; a broken chain is a finding.
Result<Verified> Verify(LogFiles& log, const VerifyOptions& options);

}  // namespace tokend::client
