#include "daemon/audit/keys.h"

#include <utility>

#include "daemon/config/contents.h"

namespace tokend::audit {
namespace {

template <class Key>
std::shared_ptr<const Key> SameOrNew(Key key, const std::shared_ptr<const Key>& running) {
  if (running != nullptr && *running == key) return running;
  return std::make_shared<const Key>(std::move(key));
}

}  // namespace

Result<Keys> ReadKeys(const config::Audit& audit, const Keys* running) {
  const Keys before = running != nullptr ? *running : Keys();
  Keys keys;
  if (!audit.fingerprint_key_file.empty()) {
    Result<Fingerprinter> fingerprinter = Fingerprinter::FromFile(audit.fingerprint_key_file);
    if (!fingerprinter.ok()) return config::AtKey("audit.fingerprint_key_file", fingerprinter.status());
    keys.fingerprinter = SameOrNew(*std::move(fingerprinter), before.fingerprinter);
  } else if (before.fingerprinter != nullptr && before.fingerprinter->made_here()) {
    keys.fingerprinter = before.fingerprinter;
  } else {
    keys.fingerprinter = std::make_shared<const Fingerprinter>(Fingerprinter::WithNewKey());
  }
  if (!audit.signing_key_file.empty()) {
    Result<Signer> signer = Signer::FromFile(audit.signing_key_file);
    if (!signer.ok()) return config::AtKey("audit.signing_key_file", signer.status());
    keys.signer = SameOrNew(*std::move(signer), before.signer);
  }
  return keys;
}

}  // namespace tokend::audit
