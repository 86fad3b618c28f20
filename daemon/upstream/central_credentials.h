#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"
#include "daemon/base/sha256.h"
#include "daemon/config/config.h"
#include "daemon/loop/tls_identity.h"

namespace tokend::upstream {

// How a relay authenticates itself to the central tokend. A connection without TLS uses none of this.
struct CentralCredentials {
  std::shared_ptr<const loop::TlsIdentity> identity;  // null: no certificate
  std::shared_ptr<const Secret> token;                // null: none
  Sha256Digest digest{};                              // of all files that were read, the CA file included
};

// Reads the files that the configuration names. An error has the place of its key in the configuration, names
// the file and says what to do. It is an error if others may read the file of the private key.
Result<CentralCredentials> ReadCentralCredentials(const config::TokendUpstream& options);

// The credentials in use. RereadIfChanged looks for changed files at most once a second. Files that cannot be
// used leave the credentials as they are, and are read again the next time. Loop thread only.
class CentralCredentialFiles {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  CentralCredentialFiles(config::TokendUpstream options, CentralCredentials credentials);

  const CentralCredentials& current() const { return current_; }
  // Counts the changes since the start.
  std::size_t generation() const { return generation_; }

  void RereadIfChanged(TimePoint now);
  void Reread();

 private:
  // Device, inode, size, and time of change (s and ns) of a file. Zeros: there is no file.
  using State = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, std::int64_t>;

  std::vector<State> StatesOfFiles() const;

  const config::TokendUpstream options_;
  CentralCredentials current_;
  std::size_t generation_ = 0;
  std::vector<State> states_;  // of each file, just before it was last read
  TimePoint looked_{};
};

}  // namespace tokend::upstream
