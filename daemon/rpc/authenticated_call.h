#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/caller.h"
#include "daemon/base/current.h"
#include "daemon/base/failure.h"
#include "daemon/base/result.h"
#include "daemon/identity/authenticator.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/issuer.h"
#include "daemon/rpc/call_handler.h"
#include "daemon/rpc/call_log.h"
#include "daemon/rpc/in_flight_limit.h"
#include "daemon/rpc/request_parser.h"

namespace tokend::rpc {

// The authenticator of a listener. A reload replaces it.
using CurrentAuthenticator = Current<identity::Authenticator>;

// What a connection itself, without a call's metadata, says about the caller.
identity::Evidence EvidenceOf(const Peer& peer);

// What the handlers of one listener's calls need. All of it outlives them.
struct CallServices {
  std::string listener;
  std::shared_ptr<CurrentAuthenticator> authenticator;
  std::shared_ptr<InFlightLimit> in_flight;
  issue::Issuer& issuer;
  const issue::CurrentConfig& config;
  bool is_relay = false;  // the daemon calls a central tokend
  std::shared_ptr<CallLog> call_log = std::make_shared<CallLog>(listener);
};

// Handles a call that needs an authenticated caller. It checks in this order: the daemon is not stopping, the
// caller is authenticated, the caller has a place within the in-flight limit, the metadata is well-formed,
// and no relay calls a relay. Then it calls Serve. A failed check ends the call and is reported to the
// issuer, which records it.
//
// The object lives, and keeps its place, until the answer has been produced, even if the client has gone by
// then.
class AuthenticatedCall : public CallHandler, public std::enable_shared_from_this<AuthenticatedCall> {
 public:
  void OnCancelled(Code why) final;
  CallStatus OnStop() final;

 protected:
  // `name` is the method's name in the log; an empty name means that calls are not logged. `services` and
  // `server_call` are references: services outlive this, and server_call() is null once the call has ended.
  AuthenticatedCall(const CallServices& services, ServerCall& server_call, const char* name);

  // Makes the checks and then calls Serve or ends the call, before it returns or later. Call it once.
  void AuthenticateAndServe(std::string request_id);

  // All checks have passed. server_call() may be null: the client has gone meanwhile.
  virtual void Serve(const Caller& caller) = 0;

  // The client has gone or the daemon stops: cancel what runs for the call.
  virtual void CancelWork() {}

  // What to tell the client if the daemon stops before there is an answer.
  virtual Failure FailureOnStop() const { return {Reason::kShuttingDown}; }

  // Reports a failed check to the issuer and ends the call.
  void Refuse(const Failure& failure);

  // These release the place and end the call, if the client still waits. Succeed may send a last message.
  void Succeed(WipedBytes message);
  void Succeed();
  void Fail(const Failure& failure);
  void FinishCancelled();

  // Runs the task on the listener's thread. Answers that come on other threads go through this. The task
  // must keep this object alive.
  void RunOnListener(Mailbox::Task task) { mailbox_->RunOrPost(std::move(task)); }

  // Leaves the in-flight limit: nothing runs for the call any more.
  void ReleasePlace() { place_.reset(); }

  ServerCall* server_call() const { return server_call_; }  // null once the call has ended
  const CallServices& services() const { return services_; }
  const std::string& request_id() const { return request_id_; }
  const RequestMetadata& metadata() const { return metadata_; }

 private:
  void OnIdentified(Result<Caller> caller);
  // The name of a relay's own caller. Empty: the caller is no relay.
  std::string_view on_behalf_of() const;
  void FinishCall(CallStatus status, const Failure* failure);
  void Log(Code code, const Failure* failure) const;

  const CallServices& services_;
  ServerCall* server_call_;
  const char* const name_;
  const std::shared_ptr<Mailbox> mailbox_;
  const std::string peer_;
  const RequestMetadata metadata_;
  const std::chrono::steady_clock::time_point arrived_;
  const std::optional<Failure> bad_metadata_;
  std::string request_id_;
  std::optional<Caller> caller_;
  InFlightLimit::Place place_;
  // kSettled: the caller is known, unknown for good, or no longer of interest.
  enum class Identity { kPending, kSettled } identity_ = Identity::kPending;
};

}  // namespace tokend::rpc
