#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "client/log_files.h"
#include "daemon/base/result.h"

namespace tokend::client {

struct VerifyOptions {
  std::string public_key_file;  // PEM, Ed25519; empty: signatures are not checked
  // The sequence number and prev of a checkpoint that was kept elsewhere.
  std::optional<std::pair<std::uint64_t, std::string>> anchor;
};

// What a check of a log has found.
struct Verified {
  std::uint64_t records = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string head;                    // SHA-256 of the last line, hex
  std::uint64_t checkpoints = 0;       // with a valid signature; counted where there is a public key
  std::uint64_t unsigned_records = 0;  // records after the last of these checkpoints

  struct Break {
    std::uint64_t seq = 0;
    std::string what;  // "changed", "missing", "inserted", "reordered", "cut off", "bad signature"
    std::string detail;
  };
  std::optional<Break> broken;  // the first break of the chain
};

// Checks the chain. Fails where a file or the key cannot be read; a broken chain is part of the result.
Result<Verified> Verify(LogFiles& log, const VerifyOptions& options);

}  // namespace tokend::client
