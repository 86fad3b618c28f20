#include "daemon/rpc/door.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "daemon/rpc/methods.h"

namespace tokend::rpc {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    const int high = text.size() > 2 && text[0] == '%' ? HexDigit(text[1]) : -1;
    const int low = high >= 0 ? HexDigit(text[2]) : -1;
    decoded += low >= 0 ? static_cast<char>(high * 16 + low) : text[0];
    text.remove_prefix(low >= 0 ? 3 : 1);
  }
  return decoded;
}

std::vector<std::string> Strings(const std::vector<grpc::string_ref>& references) {
  std::vector<std::string> strings;
  strings.reserve(references.size());
  for (const grpc::string_ref& reference : references) {
    strings.emplace_back(reference.data(), reference.size());
  }
  return strings;
}

identity::Evidence EvidenceOf(const grpc::CallbackServerContext& context, std::string peer,
                              std::optional<uid_t> unix_uid) {
  identity::Evidence evidence;
  evidence.peer = std::move(peer);
  evidence.unix_uid = unix_uid;
  const auto transport = context.auth_context();
  if (transport && transport->IsPeerAuthenticated()) {
    evidence.uri_sans = Strings(transport->FindPropertyValues("peer_uri"));
    evidence.dns_sans = Strings(transport->FindPropertyValues("peer_dns"));
  }
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto value = begin; value != end; ++value) {
    evidence.authorization.emplace_back(std::string_view(value->second.data(), value->second.size()));
  }
  return evidence;
}

}  // namespace

Door::Door(std::string listener, std::shared_ptr<const CurrentAuthenticator> authenticator,
           std::optional<uid_t> unix_uid, std::shared_ptr<CallGate> gate, issue::Issuer& issuer)
    : listener_(std::move(listener)),
      authenticator_(std::move(authenticator)),
      unix_uid_(unix_uid),
      gate_(std::move(gate)),
      issuer_(issuer) {}

void Door::Admit(std::string_view method, const grpc::CallbackServerContext& context, std::string request_id,
                 Admitted admitted) const {
  std::string peer = unix_uid_ ? "unix:uid=" + std::to_string(*unix_uid_) : PeerName(context.peer());
  const Method* declared = FindMethod(method);
  if (declared == nullptr || declared->access != Access::kCaller) {
    Failure failure{Reason::kNotPermitted, "the method is not declared for callers"};
    issuer_.Refuse(nullptr, listener_, peer, request_id, failure);
    return admitted(std::move(failure));
  }
  auto entered = gate_->Enter();
  if (const Reason* reason = std::get_if<Reason>(&entered)) {
    Failure failure{*reason};
    issuer_.Refuse(nullptr, listener_, peer, request_id, failure);
    return admitted(std::move(failure));
  }
  identity::Evidence evidence = EvidenceOf(context, peer, unix_uid_);
  ++waiting_;
  authenticator_->Get()->Authenticate(
      std::move(evidence),
      [self = shared_from_this(), peer = std::move(peer), request_id = std::move(request_id),
       pass = std::get<CallGate::Pass>(std::move(entered)),
       admitted = std::move(admitted)](Result<Caller> caller) mutable {
        --self->waiting_;
        if (caller.ok()) return admitted(Admission{std::move(pass), *std::move(caller)});
        Failure failure{Reason::kCallerUnknown, std::string(caller.status().message())};
        self->issuer_.Refuse(nullptr, self->listener_, peer, request_id, failure);
        admitted(std::move(failure));
      });
}

void Door::Refuse(const Caller& caller, std::string_view request_id, const Failure& failure) const {
  issuer_.Refuse(&caller, listener_, caller.peer(), request_id, failure);
}

std::string PeerName(std::string_view transport_peer) {
  if (transport_peer.substr(0, 5) != "ipv4:" && transport_peer.substr(0, 5) != "ipv6:") return "unknown";
  return PercentDecode(transport_peer);
}

}  // namespace tokend::rpc
