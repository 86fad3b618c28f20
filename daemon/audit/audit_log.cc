#include "daemon/audit/audit_log.h"

#include <cassert>
#include <utility>

namespace tokend::audit {

template <class Receipt>
AuditLog::Done<std::uint64_t> AuditLog::WithReceipt(Done<Receipt> done) {
  return [done = std::move(done)](Result<std::uint64_t> sequence) mutable {
    if (!sequence.ok()) return done(sequence.status());
    done(Receipt(Passkey<AuditLog>(), *sequence));
  };
}

void AuditLog::AppendIntent(Record record, Done<IntentReceipt> done) {
  record.set_event(event::kTokenIntended);
  Append(std::move(record), WithReceipt(std::move(done)));
}

void AuditLog::AppendIssued(IntentReceipt intent, Record record, const Token& token,
                            Done<IssuedReceipt> done) {
  record.set_event(event::kTokenIssued);
  record.set_intent(intent.sequence());
  Describe(token, record);
  AppendReserved(std::move(record), WithReceipt(std::move(done)));
}

void AuditLog::AppendEnd(IntentReceipt intent, Record record, const Token* withheld,
                         Done<std::uint64_t> done) {
  assert(RoleOf(record) == Event::Role::kEnd);
  record.set_intent(intent.sequence());
  if (withheld != nullptr) Describe(*withheld, record);
  AppendReserved(std::move(record), std::move(done));
}

void AuditLog::AppendReplayed(std::uint64_t intent, Record record, const Token& token,
                              Done<IssuedReceipt> done) {
  record.set_event(event::kTokenReplayed);
  record.set_intent(intent);
  Describe(token, record);
  Append(std::move(record), WithReceipt(std::move(done)));
}

}  // namespace tokend::audit
