#pragma once

#include <memory>

#include "daemon/audit/fingerprint.h"
#include "daemon/audit/signature.h"
#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::audit {

// The keys of the log. They can be replaced while the log is written.
struct Keys {
  std::shared_ptr<const Fingerprinter> fingerprinter;
  std::shared_ptr<const Signer> signer;  // null: checkpoints are not signed
};

// Reads the files that the configuration names. A key that equals the one in `running` stays the same object.
// Where no fingerprint key is configured, the random one in `running` stays in use. An error names the
// configuration's key, the file and what the file must hold.
Result<Keys> ReadKeys(const config::Audit& audit, const Keys* running = nullptr);

}  // namespace tokend::audit
