#pragma once

#include <cstdint>

#include "daemon/base/passkey.h"

namespace tokend {

namespace audit {
class AuditLog;
}

// Proof that a token.intended record is durable. Exactly one exists for each; it travels through
// Upstream::Mint into the record that ends the intent, so that an intent neither is sent before it is
// durable nor ends twice.
class IntentReceipt {
 public:
  IntentReceipt(Passkey<audit::AuditLog>, std::uint64_t sequence) : sequence_(sequence) {}
  IntentReceipt(IntentReceipt&&) = default;
  IntentReceipt& operator=(IntentReceipt&&) = default;
  IntentReceipt(const IntentReceipt&) = delete;
  IntentReceipt& operator=(const IntentReceipt&) = delete;

  std::uint64_t sequence() const { return sequence_; }

 private:
  std::uint64_t sequence_;
};

// Proof that a token.issued or token.replayed record is durable: rpc/ releases no bearer without one.
class IssuedReceipt {
 public:
  IssuedReceipt(Passkey<audit::AuditLog>, std::uint64_t sequence) : sequence_(sequence) {}
  IssuedReceipt(IssuedReceipt&&) = default;
  IssuedReceipt& operator=(IssuedReceipt&&) = default;
  IssuedReceipt(const IssuedReceipt&) = delete;
  IssuedReceipt& operator=(const IssuedReceipt&) = delete;

  std::uint64_t sequence() const { return sequence_; }

 private:
  std::uint64_t sequence_;
};

}  // namespace tokend
