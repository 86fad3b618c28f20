#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/anchors.h"
#include "client/log_files.h"
#include "daemon/base/result.h"

namespace tokend::client {

struct VerifyOptions {
  std::string public_key_file;  // PEM, Ed25519; empty: signatures are not checked
  Anchors anchors;              // each must hold in one of the logs
  bool from_start = false;      // each log must begin at seq 1
};

// The first break of a chain.
struct Break {
  std::uint64_t seq = 0;
  std::string what;  // "changed", "missing", "inserted", "reordered", "forked", "cut off", "bad signature"
  std::string detail;
};

// What a check of one log has found. The numbers are those up to the break.
struct VerifiedLog {
  std::vector<std::string> files;
  std::uint64_t records = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::string head;                    // SHA-256 of the last line, hex
  std::uint64_t checkpoints = 0;       // with a valid signature; counted where there is a public key
  std::uint64_t last_checkpoint = 0;   // the greatest number of them
  std::uint64_t unsigned_records = 0;  // records after it
  std::uint64_t anchors = 0;           // anchors that hold in this log
  std::uint64_t last_anchor = 0;       // the greatest number of them
  bool fingerprints = false;           // a record has one
  std::optional<Break> broken;
  std::vector<std::string> not_checked;  // what the result says nothing about
};

struct Verified {
  std::vector<VerifiedLog> logs;

  // An anchor that holds in none of several logs. Of one log alone it is the break.
  struct UnmetAnchor {
    Anchors::Anchor anchor;
    Break broken;
  };
  std::vector<UnmetAnchor> unmet_anchors;
  std::vector<std::string> notes;  // see LogFiles::notes

  bool intact() const;
};

// Checks the chain of each log. INVALID_ARGUMENT where a file or the key cannot be read; a broken chain is
// part of the result.
Result<Verified> Verify(LogFiles& files, VerifyOptions options);

}  // namespace tokend::client
