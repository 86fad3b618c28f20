#pragma once

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "daemon/audit/events.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/base/receipts.h"
#include "daemon/base/refusal_aggregator.h"
#include "daemon/base/result.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

using v1::Record;

// The record of everything that callers asked for and of what came of it. The log sets a record's seq, time
// and prev; whoever appends it sets the rest. A record is durable once fdatasync has returned (file), or once
// write(2) has taken every byte (standard output alone).
//
// The log answers every append exactly once, on the loop thread, however late, also while it stops. A caller
// that cannot wait sets a timer of its own. A failed append means that the record will never be durable.
class AuditLog {
 public:
  template <class T>
  using Done = absl::AnyInvocable<void(Result<T>)>;

  virtual ~AuditLog() = default;

  // Writes what the daemon says of itself. Nobody waits for this record. Any thread; never blocks.
  virtual void Note(Record record) = 0;

  // Writes the record of a refused call, which does not wait for it. Alike records within a second become one
  // with a count, and distinct ones are bounded by the allowance. Any thread; never blocks.
  virtual void NoteRefusal(Record record, Allowance allowance) = 0;

  // Writes a record, and answers with its sequence number once it is durable. Any thread.
  virtual void Append(Record record, Done<std::uint64_t> done) = 0;

  // Appends a token.intended. Answers UNAVAILABLE at once while the inbox is full.
  void AppendIntent(Record record, Done<IntentReceipt> done);

  // Appends a token.issued, which ends the intent and has the token's id and fingerprint. A full inbox does
  // not refuse it, because the intent has reserved a place for its end.
  void AppendIssued(IntentReceipt intent, Record record, const Token& token, Done<IssuedReceipt> done);

  // Appends a token.refused, token.withheld or token.unknown, which ends the intent. `withheld` may be null.
  void AppendEnd(IntentReceipt intent, Record record, const Token* withheld, Done<std::uint64_t> done);

  // Appends a token.replayed of the request whose intent has the sequence number `intent`.
  void AppendReplayed(std::uint64_t intent, Record record, const Token& token, Done<IssuedReceipt> done);

 protected:
  // Sets `token`.
  virtual void Describe(const Token& token, Record& record) const = 0;

  // Appends a record that ends an intent, in the place that the intent has reserved.
  virtual void AppendReserved(Record record, Done<std::uint64_t> done) = 0;

 private:
  // Answers with the receipt of the record that is durable.
  template <class Receipt>
  static Done<std::uint64_t> WithReceipt(Done<Receipt> done);
};

}  // namespace tokend::audit
