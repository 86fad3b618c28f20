#pragma once

#include <memory>
#include <optional>
#include <string>

#include "daemon/base/caller.h"
#include "daemon/base/current.h"
#include "daemon/base/failure.h"
#include "daemon/base/result.h"
#include "daemon/identity/authenticator.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/issuer.h"
#include "daemon/rpc/call_handler.h"
#include "daemon/rpc/in_flight_limit.h"

namespace tokend::rpc {

// Who calls on a listener is told by what is current.
using CurrentAuthenticator = Current<identity::Authenticator>;

// What a connection by itself says of who calls.
identity::Evidence EvidenceOf(const Peer& peer);

// What the calls of one listener work with. All of it outlives them.
struct CallServices {
  std::string listener;
  std::shared_ptr<const CurrentAuthenticator> authenticator;
  std::shared_ptr<InFlightLimit> in_flight;
  issue::Issuer& issuer;
  const issue::CurrentConfig& config;
};

// A call of a method that asks for a caller: admission, and then what the method does. Admission takes in
// turn: is the daemon stopping, who calls, is there a place among the calls in flight, is the metadata
// well-formed. A refusal is recorded. It lives until its reply has come, whether or not its client still
// waits; its place among the calls in flight is given back then.
class CallerCall : public CallHandler, public std::enable_shared_from_this<CallerCall> {
 public:
  void OnAbandoned(Code why) final;
  CallStatus OnStop() final;

 protected:
  // `name` is what the log calls the method; empty: its calls are not logged. Both referred to outlive this.
  CallerCall(const CallServices& services, Exchange& exchange, const char* name);

  // Goes on in Serve, where the caller is let in. Once.
  void Admit(std::string request_id);

  // The caller is let in. The client may be gone.
  virtual void Serve(const Caller& caller) = 0;

  // The client is gone, or the daemon stops: nothing that was begun for the call needs to go on.
  virtual void CallOff() {}

  // What the client is told where the daemon stops before there is an answer.
  virtual Failure WhenStopped() const { return {Reason::kShuttingDown}; }

  // Records a refusal of the caller, and ends the call.
  void Refuse(const Failure& failure);

  // End the call, where its client still waits: with this as its last message, or with none.
  void Succeed(WipedBytes message);
  void Succeed();
  void Fail(const Failure& failure);
  void EndAbandoned();

  // Has the function called on the listener's thread: what an answer of another thread goes through.
  template <class Function>
  void OnListener(Function function) {
    mailbox_->Run([self = shared_from_this(), function = std::move(function)]() mutable { function(); });
  }

  // The reply has come: what ran for the call runs no more.
  void GiveBackPlace() { place_.reset(); }

  Exchange* exchange() const { return exchange_; }  // null once the call has ended
  const CallServices& services() const { return services_; }
  const std::string& request_id() const { return request_id_; }

 private:
  void OnIdentified(Result<Caller> caller);
  void End(CallStatus status, const Failure* failure);
  void Log(Code code, const Failure* failure) const;

  const CallServices& services_;
  Exchange* exchange_;
  const char* const name_;
  const std::shared_ptr<Mailbox> mailbox_;
  const std::string peer_;
  const std::chrono::steady_clock::time_point arrived_;
  const std::optional<Failure> bad_metadata_;
  std::string request_id_;
  std::optional<Caller> caller_;
  std::optional<InFlightLimit::Place> place_;
  enum class Identity { kUnknown, kSettled } identity_ = Identity::kUnknown;
};

}  // namespace tokend::rpc
