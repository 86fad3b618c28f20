#pragma once

#include <cstdint>

#include "daemon/base/receipts.h"

namespace tokend::audit {

// Makes receipts in place of the audit log. The upstream only hands them back.
class AuditLog {
 public:
  static IntentReceipt Receipt(std::uint64_t sequence) {
    return IntentReceipt(Passkey<AuditLog>(), sequence);
  }
};

}  // namespace tokend::audit
