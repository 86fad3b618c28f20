#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/loop/event_loop.h"
#include "daemon/upstream/central_calls.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tokend/v1/token_service.pb.h"

namespace tokend::fakes {

// A central tokend that answers when its test tells it to. Only the test's thread may use it.
class ScriptedCentralCalls final : public upstream::CentralCalls {
 public:
  struct Running {
    upstream::CentralCall call;
    Done done;

    v1::CreateTokenRequest request() const {
      v1::CreateTokenRequest request;
      request.ParseFromString(call.message);
      return request;
    }

    // Empty: the call has no such metadata.
    std::string metadata(std::string_view key) const {
      for (const auto& [name, value] : call.metadata) {
        if (name == key) return value;
      }
      return "";
    }
  };

  explicit ScriptedCentralCalls(loop::EventLoop& loop) : loop_(loop) {}

  void Call(upstream::CentralCall call, Done done) override {
    ++made;
    if (sends && call.sent != nullptr) *call.sent = loop::Sent::kYes;
    running.push_back({std::move(call), std::move(done)});
  }
  std::size_t replicas() const override { return addresses; }
  void RereadCredentials() override { ++rereads; }
  std::size_t credentials_generation() const override { return generation; }
  void WipeCopies(std::string_view secret) override { wiped.emplace_back(secret); }
  void Stop() override {
    while (answers_at_stop && !running.empty()) {
      Running stopped = Take(0);
      stopped.done({.sent = stopped_calls_were,
                    .replica = {},
                    .status = {},
                    .details = "",
                    .message = {},
                    .error = "stopped"});
    }
  }

  // Answers a running call on the loop's next turn.
  void Answer(upstream::CentralAnswer answer, std::size_t index = 0) {
    answer.latency = std::chrono::milliseconds(3);
    loop_.Post([running = std::make_shared<Running>(Take(index)),
                answer = std::make_shared<upstream::CentralAnswer>(std::move(answer))] {
      running->done(std::move(*answer));
    });
  }

  std::deque<Running> running;  // the calls without an answer, oldest first
  std::size_t made = 0;         // how many calls have been made
  bool sends = true;            // whether the centre can have seen a call that runs
  std::size_t addresses = 1;
  std::size_t generation = 1;
  std::size_t rereads = 0;
  std::vector<std::string> wiped;
  loop::Sent stopped_calls_were = loop::Sent::kYes;
  bool answers_at_stop = true;  // false: calls that run at the stop are answered later

 private:
  Running Take(std::size_t index) {
    Running taken = std::move(running.at(index));
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(index));
    return taken;
  }

  loop::EventLoop& loop_;
};

inline upstream::CentralAnswer AnswerOk(const v1::CreateTokenResponse& response, std::size_t replica = 1) {
  upstream::CentralAnswer answer;
  answer.sent = loop::Sent::kYes;
  answer.replica = upstream::Replica{replica};
  answer.status = 0;
  answer.message = Secret(response.SerializeAsString());
  answer.connected = true;
  return answer;
}

// An answer in which the call's own request has got this bearer.
inline v1::CreateTokenResponse ResponseTo(const v1::CreateTokenRequest& request, const std::string& bearer) {
  v1::CreateTokenResponse response;
  response.set_request_id(request.request_id());
  response.set_audit_sequence(77);
  v1::Token& token = *response.mutable_token();
  token.set_description(request.description());
  *token.mutable_scopes() = request.scopes();
  if (request.validate_only()) return response;
  token.set_id("0123456789abcdef01234567");
  token.set_bearer(bearer);
  return response;
}

// A tokend's error. `add` adds further details.
template <std::invocable<google::rpc::Status&, google::rpc::ErrorInfo&> Add>
upstream::CentralAnswer AnswerError(int code, const std::string& reason, Add add, std::size_t replica = 1) {
  google::rpc::ErrorInfo info;
  info.set_domain("tokend");
  info.set_reason(reason);
  (*info.mutable_metadata())["audit_sequence"] = "4711";
  google::rpc::Status status;
  status.set_code(code);
  status.set_message("a text of the centre");
  add(status, info);
  status.add_details()->PackFrom(info);
  upstream::CentralAnswer answer;
  answer.sent = loop::Sent::kYes;
  answer.replica = upstream::Replica{replica};
  answer.status = code;
  answer.details = status.SerializeAsString();
  answer.connected = true;
  return answer;
}
inline upstream::CentralAnswer AnswerError(int code, const std::string& reason, std::size_t replica = 1) {
  return AnswerError(
      code, reason, [](google::rpc::Status&, google::rpc::ErrorInfo&) {}, replica);
}

inline upstream::CentralAnswer NoConnection(std::size_t replica = 1) {
  upstream::CentralAnswer answer;
  answer.replica = upstream::Replica{replica};
  answer.error = "connection refused";
  return answer;
}

inline upstream::CentralAnswer LostConnection(std::size_t replica = 1) {
  upstream::CentralAnswer answer;
  answer.sent = loop::Sent::kYes;
  answer.replica = upstream::Replica{replica};
  answer.error = "the connection was reset";
  answer.connected = true;
  return answer;
}

}  // namespace tokend::fakes
