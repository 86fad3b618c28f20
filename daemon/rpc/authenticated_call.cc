#include "daemon/rpc/caller_call.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

// Calls that wait until their caller is known, which may take a fetch of keys, share as if they were one's.
constexpr std::string_view kNotYetKnown = "";

}  // namespace

identity::Evidence EvidenceOf(const Peer& peer) {
  identity::Evidence evidence;
  evidence.peer = peer.name;
  evidence.unix_uid = peer.unix_uid;
  if (peer.certificate) {
    evidence.uri_sans = peer.certificate->uri_sans;
    evidence.dns_sans = peer.certificate->dns_sans;
    evidence.certificate_not_after = peer.certificate->not_after;
  }
  return evidence;
}

CallerCall::CallerCall(const CallServices& services, Exchange& exchange, const char* name)
    : services_(services),
      exchange_(&exchange),
      name_(name),
      mailbox_(exchange.mailbox()),
      peer_(exchange.peer().name),
      arrived_(exchange.arrived()),
      bad_metadata_(exchange.head().Judge()) {}

void CallerCall::Admit(std::string request_id) {
  request_id_ = std::move(request_id);
  if (exchange_->is_draining()) return Refuse({Reason::kShuttingDown});
  identity::Evidence evidence = EvidenceOf(exchange_->peer());
  for (const Secret& value : exchange_->head().authorization) {
    evidence.authorization.emplace_back(value.Expose());
  }
  services_.authenticator->Get()->Authenticate(
      std::move(evidence), [self = shared_from_this()](Result<Caller> caller) {
        self->mailbox_->Run(
            [self, caller = std::move(caller)]() mutable { self->OnIdentified(std::move(caller)); });
      });
  if (identity_ == Identity::kSettled) return;
  place_ = services_.in_flight->Enter(kNotYetKnown);
  if (place_) return;
  identity_ = Identity::kSettled;
  Refuse({Reason::kOverloaded, "too many calls wait until their caller is known"});
}

void CallerCall::OnIdentified(Result<Caller> caller) {
  if (identity_ == Identity::kSettled) return;  // refused meanwhile
  identity_ = Identity::kSettled;
  place_.reset();
  if (!caller.ok()) return Refuse({Reason::kCallerUnknown, std::string(caller.status().message())});
  caller_ = *std::move(caller);
  if (exchange_ != nullptr) exchange_->ShowCaller();
  place_ = services_.in_flight->Enter(caller_->name());
  if (!place_) return Refuse({Reason::kOverloaded, "too many calls are in flight"});
  if (bad_metadata_) return Refuse(*bad_metadata_);
  Serve(*caller_);
}

void CallerCall::Refuse(const Failure& failure) {
  services_.issuer.Refuse(caller_ ? &*caller_ : nullptr, services_.listener, peer_, request_id_, failure);
  Fail(failure);
}

void CallerCall::Succeed(WipedBytes message) {
  if (exchange_ != nullptr) exchange_->Send(std::move(message));
  Succeed();
}

void CallerCall::Succeed() {
  GiveBackPlace();
  if (exchange_ != nullptr) End({}, nullptr);
}

void CallerCall::Fail(const Failure& failure) {
  GiveBackPlace();
  if (exchange_ != nullptr) End(ToStatus(failure, request_id_), &failure);
}

void CallerCall::EndAbandoned() {
  GiveBackPlace();
  if (exchange_ == nullptr) return;
  const auto deadline = exchange_->deadline();
  if (deadline && std::chrono::steady_clock::now() >= *deadline) {
    End({Code::kDeadlineExceeded, "the call's deadline has passed"}, nullptr);
  } else {
    End({Code::kCancelled, "the caller cancelled the call"}, nullptr);
  }
}

void CallerCall::OnAbandoned(Code why) {
  exchange_ = nullptr;
  Log(why, nullptr);
  CallOff();
}

CallStatus CallerCall::OnStop() {
  exchange_ = nullptr;
  const Failure failure = WhenStopped();
  CallStatus status = ToStatus(failure, request_id_);
  Log(status.code, &failure);
  CallOff();
  return status;
}

void CallerCall::End(CallStatus status, const Failure* failure) {
  Log(status.code, failure);
  std::exchange(exchange_, nullptr)->Finish(std::move(status));
}

void CallerCall::Log(Code code, const Failure* failure) const {
  if (*name_ == '\0') return;
  const std::chrono::duration<double, std::milli> duration = std::chrono::steady_clock::now() - arrived_;
  telemetry::Log(config::LogLevel::kInfo, "call",
                 {{"method", name_},
                  {"request_id", request_id_},
                  {"caller", caller_ ? std::string_view(caller_->name()) : ""},
                  {"listener", services_.listener},
                  {"code", Name(code)},
                  {"reason", failure != nullptr ? Name(failure->reason) : ""},
                  {"detail", failure != nullptr ? std::string_view(failure->detail) : ""},
                  {"duration_ms", duration.count()}});
}

}  // namespace tokend::rpc
