#pragma once

#include <cstdint>

#include "daemon/base/passkey.h"

namespace tokend {

namespace audit {
class AuditLog;
}

// What receipts have in common: the number of a durable audit record. Move-only, so that each exists once.
class Receipt {
 public:
  Receipt(Receipt&&) = default;
  Receipt& operator=(Receipt&&) = default;

  std::uint64_t sequence() const { return sequence_; }

 protected:
  explicit Receipt(std::uint64_t sequence) : sequence_(sequence) {}
  ~Receipt() = default;

 private:
  std::uint64_t sequence_;
};

// Proof that a token.intended record is durable. Upstream::Mint needs it, so no request is sent before its
// intent is durable. The record that ends the intent consumes it, so no intent ends twice.
class IntentReceipt : public Receipt {
 public:
  IntentReceipt(Passkey<audit::AuditLog>, std::uint64_t sequence) : Receipt(sequence) {}
};

// Proof that a token.issued or token.replayed record is durable. rpc/ needs it to send a bearer.
class IssuedReceipt : public Receipt {
 public:
  IssuedReceipt(Passkey<audit::AuditLog>, std::uint64_t sequence) : Receipt(sequence) {}
};

}  // namespace tokend
