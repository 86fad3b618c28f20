#pragma once

#include <memory>

#include "daemon/audit/fingerprint.h"
#include "daemon/audit/signature.h"
#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::audit {

// What the log is written with, and can go on with another of while it is written.
struct Keys {
  std::shared_ptr<const Fingerprinter> fingerprinter;
  std::shared_ptr<const Signer> signer;  // null: checkpoints are not signed
};

// Reads the files that the configuration names. A key that is the same as in `running` is the very same
// object, and one that was made at the start goes on. An error is of a key of the configuration's, and names
// the file and what it must hold.
Result<Keys> ReadKeys(const config::Audit& audit, const Keys* running = nullptr);

}  // namespace tokend::audit
