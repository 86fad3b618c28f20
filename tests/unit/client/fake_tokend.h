#pragma once

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/retry.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/fakes/temporary_folder.h"
#include "tokend/v1/token_service.grpc.pb.h"

namespace tokend::client {

// What a scripted call fails with: every detail that errors.md knows.
struct Failing {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string reason = {};  // empty: no google.rpc details at all
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  bool pushback = false;
  std::vector<FieldViolation> fields = {};
  std::vector<QuotaViolation> quotas = {};
  std::optional<std::int64_t> upstream_code = std::nullopt;
  std::optional<std::uint64_t> audit_sequence = std::nullopt;
  std::string domain = "tokend";
  std::string message = "fixed words";
};

inline grpc::Status ToStatus(const Failing& failing, const std::string& request_id) {
  if (failing.code == grpc::StatusCode::OK) return grpc::Status::OK;
  google::rpc::Status status;
  status.set_code(failing.code);
  status.set_message(failing.message);
  google::rpc::ErrorInfo info;
  info.set_domain(failing.domain);
  info.set_reason(failing.reason);
  auto& metadata = *info.mutable_metadata();
  metadata["request_id"] = request_id;
  if (failing.upstream_code) metadata["upstream_code"] = std::to_string(*failing.upstream_code);
  if (failing.audit_sequence) metadata["audit_sequence"] = std::to_string(*failing.audit_sequence);
  status.add_details()->PackFrom(info);
  if (failing.retry_after) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(failing.retry_after->count() / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int>(failing.retry_after->count() % 1000) * 1'000'000);
    status.add_details()->PackFrom(retry);
  }
  google::rpc::BadRequest bad;
  for (const FieldViolation& field : failing.fields) {
    auto& violation = *bad.add_field_violations();
    violation.set_field(field.field);
    violation.set_description(field.description);
  }
  if (!failing.fields.empty()) status.add_details()->PackFrom(bad);
  google::rpc::QuotaFailure quota;
  for (const QuotaViolation& spent : failing.quotas) {
    auto& violation = *quota.add_violations();
    violation.set_subject(spent.subject);
    violation.set_description(spent.description);
  }
  if (!failing.quotas.empty()) status.add_details()->PackFrom(quota);
  return {failing.code, failing.message, failing.reason.empty() ? "" : status.SerializeAsString()};
}

// A real gRPC server that answers each call with the script's next line, and with success after its end.
class FakeTokend final : public v1::TokenService::Service {
 public:
  struct Call {
    v1::CreateTokenRequest request;
    std::chrono::system_clock::time_point deadline;
    std::string authorization;
    std::string peer_identity;
  };

  // Listens on `address`: "unix:…", or "127.0.0.1:0".
  explicit FakeTokend(
      const std::string& address,
      const std::shared_ptr<grpc::ServerCredentials>& credentials = grpc::InsecureServerCredentials()) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, credentials, &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeTokend() override { server_->Shutdown(std::chrono::system_clock::now()); }

  int port() const { return port_; }
  void SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

  void Script(std::vector<Failing> script) {
    const std::lock_guard lock(mutex_);
    script_.assign(script.begin(), script.end());
  }
  // Changes the successful answers.
  std::function<void(v1::CreateTokenResponse&)> adorn = [](v1::CreateTokenResponse&) {};
  v1::GetCallerResponse caller;

  std::vector<Call> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

  grpc::Status CreateToken(grpc::ServerContext* context, const v1::CreateTokenRequest* request,
                           v1::CreateTokenResponse* response) override {
    const Failing failing = Record(*context, *request);
    if (failing.code != grpc::StatusCode::OK) return ToStatus(failing, request->request_id());
    v1::Token& token = *response->mutable_token();
    token.set_organization(std::string(24, 'a'));
    token.set_application(std::string(24, 'b'));
    token.set_description(request->description());
    *token.mutable_scopes() = request->scopes();
    response->set_request_id(request->request_id());
    response->set_audit_sequence(42);
    if (!request->validate_only()) {
      token.set_id(std::string(24, 'c'));
      token.set_bearer("the-bearer");
    }
    adorn(*response);
    return grpc::Status::OK;
  }

  grpc::Status GetCaller(grpc::ServerContext* context, const v1::GetCallerRequest*,
                         v1::GetCallerResponse* response) override {
    const Failing failing = Record(*context, {});
    *response = caller;
    return ToStatus(failing, "");
  }

 private:
  Failing Record(grpc::ServerContext& context, const v1::CreateTokenRequest& request) {
    const std::lock_guard lock(mutex_);
    Call& call = calls_.emplace_back();
    call.request = request;
    call.deadline = context.deadline();
    const auto& metadata = context.client_metadata();
    if (const auto found = metadata.find("authorization"); found != metadata.end()) {
      call.authorization = {found->second.begin(), found->second.end()};
    }
    for (const grpc::string_ref& identity : context.auth_context()->GetPeerIdentity()) {
      call.peer_identity = {identity.begin(), identity.end()};
    }
    if (script_.empty()) return {};
    Failing next = script_.front();
    script_.pop_front();
    if (next.pushback) context.AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
    return next;
  }

  mutable std::mutex mutex_;
  std::deque<Failing> script_;
  std::vector<Call> calls_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Time that passes when the client waits, and only then.
class FakeClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() override { return now_; }
  void Sleep(std::chrono::nanoseconds duration) override {
    slept.push_back(duration);
    now_ += duration;
  }

  std::vector<std::chrono::nanoseconds> slept;

 private:
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
};

}  // namespace tokend::client
