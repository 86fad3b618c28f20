#include "daemon/issue/loop_issuer.h"

#include <string>
#include <utility>

#include "daemon/issue/records.h"

namespace tokend::issue {

std::shared_ptr<Call> LoopIssuer::Create(Caller caller, TokenRequest request, ReplyCallback reply) {
  auto issuance =
      std::make_shared<Issuance>(stages_, std::move(caller), std::move(request), std::move(reply));
  issuance->Start();
  return issuance;
}

void LoopIssuer::Refuse(const Caller* caller, std::string_view listener, std::string_view peer,
                        std::string_view request_id, const Failure& failure) {
  audit::Record record;
  if (caller != nullptr) {
    record = RecordOf(*caller);
  } else {
    record.mutable_caller()->set_listener(std::string(listener));
    record.mutable_caller()->set_peer(std::string(peer));
  }
  record.set_request_id(std::string(request_id));
  record.set_event(EventOf(failure.reason));
  record.set_config(stages_.config.Get()->fingerprint);
  Describe(failure, record);
  stages_.audit.Note(std::move(record));
}

}  // namespace tokend::issue
