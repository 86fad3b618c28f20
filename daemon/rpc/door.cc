#include "daemon/rpc/door.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <cstddef>
#include <future>
#include <utility>
#include <vector>

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

identity::Evidence EvidenceOf(const grpc::CallbackServerContext& context, std::string peer) {
  identity::Evidence evidence;
  evidence.peer = std::move(peer);
  const auto transport = context.auth_context();
  if (transport && transport->IsPeerAuthenticated()) {
    evidence.uri_sans = Strings(transport->FindPropertyValues("peer_uri"));
    evidence.dns_sans = Strings(transport->FindPropertyValues("peer_dns"));
  }
  return evidence;
}

}  // namespace

Door::Door(std::string listener, std::shared_ptr<const identity::Authenticator> authenticator,
           std::string unix_peer, std::shared_ptr<CallGate> gate, issue::Issuer& issuer)
    : listener_(std::move(listener)),
      authenticator_(std::move(authenticator)),
      unix_peer_(std::move(unix_peer)),
      gate_(std::move(gate)),
      issuer_(issuer) {}

std::variant<Admission, Failure> Door::Admit(const grpc::CallbackServerContext& context,
                                             std::string_view request_id) const {
  std::string peer = unix_peer_.empty() ? PeerName(context.peer()) : unix_peer_;
  auto entered = gate_->Enter();
  if (const Reason* reason = std::get_if<Reason>(&entered)) {
    Failure failure{*reason};
    issuer_.Refuse(nullptr, listener_, peer, request_id, failure);
    return failure;
  }
  std::promise<Result<Caller>> answered;
  authenticator_->Authenticate(EvidenceOf(context, peer),
                               [&answered](Result<Caller> caller) { answered.set_value(std::move(caller)); });
  Result<Caller> caller = answered.get_future().get();
  if (!caller.ok()) {
    Failure failure{Reason::kCallerUnknown, std::string(caller.status().message())};
    issuer_.Refuse(nullptr, listener_, peer, request_id, failure);
    return failure;
  }
  return Admission{std::get<CallGate::Pass>(std::move(entered)), *std::move(caller)};
}

void Door::Refuse(const Caller& caller, std::string_view request_id, const Failure& failure) const {
  issuer_.Refuse(&caller, listener_, caller.peer(), request_id, failure);
}

std::string PeerName(std::string_view transport_peer) {
  if (transport_peer.substr(0, 5) != "ipv4:" && transport_peer.substr(0, 5) != "ipv6:") return "unknown";
  return PercentDecode(transport_peer);
}

}  // namespace tokend::rpc
