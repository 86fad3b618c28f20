#pragma once

#include <cstdint>

#include "daemon/base/receipts.h"

namespace tokend::audit {

// Stands for the audit log, whose receipts the upstream only carries.
class AuditLog {
 public:
  static IntentReceipt Receipt(std::uint64_t sequence) {
    return IntentReceipt(Passkey<AuditLog>(), sequence);
  }
};

}  // namespace tokend::audit
