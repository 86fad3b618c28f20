#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/base/receipts.h"
#include "daemon/base/result.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

using v1::Record;

// The events of the log, as they are written.
namespace event {
inline constexpr char kDaemonStarted[] = "daemon.started";
inline constexpr char kDaemonStopped[] = "daemon.stopped";
inline constexpr char kCheckpoint[] = "checkpoint";
inline constexpr char kConfigReloaded[] = "config.reloaded";
inline constexpr char kConfigRejected[] = "config.rejected";
inline constexpr char kKeyReloaded[] = "key.reloaded";
inline constexpr char kKeyRejected[] = "key.rejected";
inline constexpr char kAuditRecovered[] = "audit.recovered";
inline constexpr char kRequestInvalid[] = "request.invalid";
inline constexpr char kRequestUnauthenticated[] = "request.unauthenticated";
inline constexpr char kRequestDenied[] = "request.denied";
inline constexpr char kRequestLimited[] = "request.limited";
inline constexpr char kRequestFailed[] = "request.failed";
inline constexpr char kRequestValidated[] = "request.validated";
inline constexpr char kTokenIntended[] = "token.intended";
inline constexpr char kTokenIssued[] = "token.issued";
inline constexpr char kTokenRefused[] = "token.refused";
inline constexpr char kTokenWithheld[] = "token.withheld";
inline constexpr char kTokenUnknown[] = "token.unknown";
inline constexpr char kTokenReplayed[] = "token.replayed";
}  // namespace event

// The record of everything that a caller asked for and what came of it. A record is numbered, timed and
// chained by the log; callers fill in the rest. Durable means what the audit page promises: fdatasync
// returned (file), or write(2) took every byte (standard output alone).
//
// Every append is answered exactly once, on the loop thread, stopping included, and however late: a caller
// that cannot wait sets its own timer. An append fails only if the record will never be durable.
class AuditLog {
 public:
  template <class T>
  using Done = absl::AnyInvocable<void(Result<T>)>;

  virtual ~AuditLog() = default;

  // Writes a record that no call waits for: denials and other refusals, and what the daemon says of itself.
  // Any thread; never blocks. Alike request.* records within a second become one with a count.
  virtual void Note(Record record) = 0;

  // Writes a record and says its sequence number once it is durable. Any thread.
  virtual void Append(Record record, Done<std::uint64_t> done) = 0;

  // A token.intended. UNAVAILABLE at once where the inbox is full.
  void AppendIntent(Record record, Done<IntentReceipt> done);

  // A token.issued, which ends the intent and carries the token's id and fingerprint. Never refused for
  // want of room: the intent reserved it.
  void AppendIssued(IntentReceipt intent, Record record, const Token& token, Done<IssuedReceipt> done);

  // A token.refused, token.withheld or token.unknown, which ends the intent. `withheld` may be null.
  void AppendEnd(IntentReceipt intent, Record record, const Token* withheld, Done<std::uint64_t> done);

  // A token.replayed of the call whose intent has the sequence number `intent`.
  void AppendReplayed(std::uint64_t intent, Record record, const Token& token, Done<IssuedReceipt> done);

 protected:
  // Sets token.id and token.fingerprint.
  virtual void Describe(const Token& token, Record& record) const = 0;

  // Append, for a record that ends an intent.
  virtual void AppendReserved(Record record, Done<std::uint64_t> done) = 0;
};

}  // namespace tokend::audit
