#include "daemon/rpc/authenticated_call.h"

#include <chrono>
#include <string_view>

#include "daemon/audit/events.h"
#include "daemon/issue/records.h"

namespace tokend::rpc {
namespace {

// A call that was not served and has no failure was cancelled.
telemetry::CallEnd EndOf(Code code, const Failure* failure) {
  if (code == Code::kOk) return telemetry::CallEnd::kServed;
  if (failure == nullptr) return telemetry::CallEnd::kCancelled;
  return std::string_view(issue::EventOf(failure->reason)) == audit::event::kRequestFailed
             ? telemetry::CallEnd::kFailed
             : telemetry::CallEnd::kRefused;
}

}  // namespace

// While calls wait for authentication, which may include a fetch of keys, they count as calls of this one
// caller.
constexpr std::string_view kUnauthenticated;

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

namespace {

RequestMetadata MetadataOf(const RequestHead& head) {
  return {.trace = head.trace(), .traceparent = head.traceparent.value_or(""), .relayed = head.relayed};
}

std::optional<Failure> FaultOf(const RequestHead& head, bool is_relay) {
  std::optional<Failure> malformed = head.Validate();
  if (malformed || !is_relay || !head.relayed) return malformed;
  return Failure{.reason = Reason::kInvalidRequest,
                 .detail = "a relay has called a relay",
                 .message =
                     "this tokend is a relay and takes no calls of another relay; "
                     "call the central tokend"};
}

}  // namespace

AuthenticatedCall::AuthenticatedCall(const CallServices& services, ServerCall& server_call, const char* name)
    : services_(services),
      server_call_(&server_call),
      name_(name),
      mailbox_(server_call.mailbox()),
      peer_(server_call.peer().name),
      metadata_(MetadataOf(server_call.head())),
      arrived_(server_call.arrived()),
      bad_metadata_(FaultOf(server_call.head(), services.is_relay)) {}

void AuthenticatedCall::AuthenticateAndServe(std::string request_id) {
  request_id_ = std::move(request_id);
  if (server_call_->is_draining()) return Refuse({Reason::kShuttingDown});
  identity::Evidence evidence = EvidenceOf(server_call_->peer());
  for (const Secret& value : server_call_->head().authorization) {
    evidence.authorization.emplace_back(value.Expose());
  }
  services_.authenticator->Get()->Authenticate(
      std::move(evidence), [self = shared_from_this()](Result<Caller> caller) {
        self->RunOnListener(
            [self, caller = std::move(caller)]() mutable { self->OnIdentified(std::move(caller)); });
      });
  if (identity_ == Identity::kSettled) return;
  place_ = services_.in_flight->TryEnter(kUnauthenticated);
  if (place_) return;
  identity_ = Identity::kSettled;
  Refuse({Reason::kOverloaded, "too many calls wait for authentication"});
}

void AuthenticatedCall::OnIdentified(Result<Caller> caller) {
  if (identity_ == Identity::kSettled) return;  // the call was refused meanwhile
  identity_ = Identity::kSettled;
  place_.reset();
  if (!caller.ok()) return Refuse({Reason::kCallerUnknown, std::string(caller.status().message())});
  caller_ = *std::move(caller);
  if (server_call_ != nullptr) server_call_->MarkCallerKnown();
  place_ = services_.in_flight->TryEnter(caller_->name());
  if (!place_) return Refuse({Reason::kOverloaded, "too many calls are in flight"});
  if (bad_metadata_) return Refuse(*bad_metadata_);
  Serve(*caller_);
}

std::string_view AuthenticatedCall::on_behalf_of() const {
  return caller_ && metadata_.relayed ? std::string_view(metadata_.relayed->on_behalf_of)
                                      : std::string_view();
}

void AuthenticatedCall::Refuse(const Failure& failure) {
  services_.issuer.Refuse(caller_ ? &*caller_ : nullptr, on_behalf_of(), services_.listener, peer_,
                          request_id_, metadata_.trace, failure);
  Fail(failure);
}

void AuthenticatedCall::Succeed(WipedBytes message) {
  if (server_call_ != nullptr) server_call_->Send(std::move(message));
  Succeed();
}

void AuthenticatedCall::Succeed() {
  ReleasePlace();
  if (server_call_ != nullptr) FinishCall({}, nullptr);
}

void AuthenticatedCall::Fail(const Failure& failure) {
  ReleasePlace();
  if (server_call_ != nullptr) FinishCall(ToStatus(failure, request_id_), &failure);
}

void AuthenticatedCall::FinishCancelled() {
  ReleasePlace();
  if (server_call_ == nullptr) return;
  const auto deadline = server_call_->deadline();
  const bool is_late = deadline && std::chrono::steady_clock::now() >= *deadline;
  FinishCall(is_late ? CallStatus{Code::kDeadlineExceeded, "the call's deadline has passed"}
                     : CallStatus{Code::kCancelled, "the caller cancelled the call"},
             nullptr);
}

void AuthenticatedCall::OnCancelled(Code why) {
  server_call_ = nullptr;
  Log(why, nullptr);
  CancelWork();
}

CallStatus AuthenticatedCall::OnStop() {
  server_call_ = nullptr;
  const Failure failure = FailureOnStop();
  CallStatus status = ToStatus(failure, request_id_);
  Log(status.code, &failure);
  CancelWork();
  return status;
}

void AuthenticatedCall::FinishCall(CallStatus status, const Failure* failure) {
  Log(status.code, failure);
  std::exchange(server_call_, nullptr)->Finish(std::move(status));
}

void AuthenticatedCall::Log(Code code, const Failure* failure) const {
  if (*name_ == '\0') return;
  const auto now = std::chrono::steady_clock::now();
  CallLine line{.method = name_,
                .request_id = request_id_,
                .caller = caller_ ? caller_->name() : "",
                .on_behalf_of = std::string(on_behalf_of()),
                .peer = peer_,
                .trace = metadata_.trace,
                .code = code,
                .duration_ms = std::chrono::duration<double, std::milli>(now - arrived_).count(),
                .end = EndOf(code, failure)};
  if (failure != nullptr) {
    line.reason = Name(failure->reason);
    line.detail = failure->detail;
  }
  if (code != Code::kOk) {
    line.allowance = issue::AllowanceOf(*services_.config.Get(), caller_ ? &*caller_ : nullptr);
  }
  services_.call_log->Add(std::move(line), now);
}

}  // namespace tokend::rpc
