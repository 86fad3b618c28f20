#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "daemon/base/caller.h"
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

// One entrance: a TCP listener, or one peer of a unix listener. Lets in whom its authenticator knows, while
// there is room. Immutable; any thread.
class Door {
 public:
  // `unix_peer` is "unix:uid=N", or empty where the transport knows the peer. The issuer must outlive this.
  Door(std::string listener, std::shared_ptr<const identity::Authenticator> authenticator,
       std::string unix_peer, std::shared_ptr<CallGate> gate, issue::Issuer& issuer);

  // A refusal is already recorded, under the request_id, which may be empty.
  std::variant<Admission, Failure> Admit(const grpc::CallbackServerContext& context,
                                         std::string_view request_id) const;

  // Records a refusal of a caller that was let in.
  void Refuse(const Caller& caller, std::string_view request_id, const Failure& failure) const;

  const std::string& listener() const { return listener_; }

 private:
  std::string listener_;
  std::shared_ptr<const identity::Authenticator> authenticator_;
  std::string unix_peer_;
  std::shared_ptr<CallGate> gate_;
  issue::Issuer& issuer_;
};

// "ipv4:127.0.0.1:8443" and "ipv6:[::1]:8443" of gRPC's name for a peer, which has the brackets escaped;
// "unknown" of anything else.
std::string PeerName(std::string_view transport_peer);

}  // namespace tokend::rpc
