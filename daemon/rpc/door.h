#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "daemon/base/caller.h"
#include "daemon/base/current.h"
#include "daemon/base/failure.h"
#include "daemon/identity/authenticator.h"
#include "daemon/issue/issuer.h"
#include "daemon/rpc/call_gate.h"

namespace grpc {
class CallbackServerContext;
}

namespace tokend::rpc {

// A call that may go on: by whom, and its place among those in flight.
struct Admission {
  CallGate::Pass pass;
  Caller caller;
};

// Who calls on a listener is told by what is current.
using CurrentAuthenticator = Current<identity::Authenticator>;

// One entrance: a TCP listener, or one peer of a unix listener. Lets in whom its authenticator knows, while
// there is room. Any thread.
class Door : public std::enable_shared_from_this<Door> {
 public:
  using Admitted = absl::AnyInvocable<void(std::variant<Admission, Failure>)>;

  // `unix_uid` is the peer's, or nothing where the transport knows the peer. The issuer must outlive this.
  Door(std::string listener, std::shared_ptr<const CurrentAuthenticator> authenticator,
       std::optional<uid_t> unix_uid, std::shared_ptr<CallGate> gate, issue::Issuer& issuer);

  // For a method of methods.h that asks for a caller; any other is refused. Calls `admitted` exactly once:
  // before it returns, or within a few seconds on another thread. A refusal is already recorded then, under
  // the request_id, which may be empty. The context is looked at only before this returns.
  void Admit(std::string_view method, const grpc::CallbackServerContext& context, std::string request_id,
             Admitted admitted) const;

  // Records a refusal of a caller that was let in.
  void Refuse(const Caller& caller, std::string_view request_id, const Failure& failure) const;

  // Whether a call waits for its caller to be known.
  bool AnyWaits() const { return waiting_ != 0; }

  const std::string& listener() const { return listener_; }

 private:
  std::string listener_;
  std::shared_ptr<const CurrentAuthenticator> authenticator_;
  std::optional<uid_t> unix_uid_;
  std::shared_ptr<CallGate> gate_;
  issue::Issuer& issuer_;
  mutable std::atomic<std::size_t> waiting_{0};
};

// "ipv4:127.0.0.1:8443" and "ipv6:[::1]:8443" of gRPC's name for a peer, which has the brackets escaped;
// "unknown" of anything else.
std::string PeerName(std::string_view transport_peer);

}  // namespace tokend::rpc
