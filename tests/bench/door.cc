#include <benchmark/benchmark.h>
#include <nghttp2/nghttp2.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "daemon/rpc/message_prefix.h"
#include "daemon/rpc/request_parser.h"
#include "daemon/rpc/session.h"
#include "daemon/rpc/status.h"
#include "tests/fakes/http2_client.h"
#include "tokend/v1/token_service.pb.h"

// Measures what one call costs at the door, without a socket and without TLS.
namespace tokend::rpc {
namespace {

namespace http2 = fakes::http2;

constexpr char kPath[] = "/tokend.v1.TokenService/CreateToken";
// A session is replaced after so many calls: the client grants its window once, for all of them.
constexpr std::uint32_t kCallsOfASession = 100'000;
constexpr std::uint32_t kAmpleWindow = 1U << 30U;

v1::CreateTokenRequest Request() {
  v1::CreateTokenRequest request;
  request.set_request_id("6f1c2f5e-6a0b-4f5e-9f57-0d1a0f0b3c11");
  request.set_organization("acme");
  request.set_application("ios-app");
  request.set_description("nightly build");
  request.add_scopes("sdk");
  return request;
}

v1::CreateTokenResponse Response() {
  v1::CreateTokenResponse response;
  response.set_request_id(Request().request_id());
  response.set_audit_sequence(123456);
  v1::Token& token = *response.mutable_token();
  token.set_id("5f0c1a2b3c4d5e6f7a8b9c0d");
  token.set_organization("acme");
  token.set_application("ios-app");
  token.set_description("nightly build [spiffe://prod.example/ns/shop/sa/checkout]");
  token.add_scopes("sdk");
  token.set_bearer("a-bearer-of-some-40-characters-as-upstream");
  return response;
}

bool IsValid(const std::string& message) {
  v1::CreateTokenRequest request;
  if (!request.ParseFromString(message)) return false;
  const RequestId id = RequestParser::IdOf(request);
  const auto parsed = RequestParser::Parse(request, id, "acme");
  benchmark::DoNotOptimize(parsed);
  return std::holds_alternative<TokenRequest>(parsed);
}

// Answers each call, after its request is checked, with a token or with a refusal.
class Server final : public Session::Owner {
 public:
  enum class Answer { kToken, kRefusal };

  explicit Server(Answer answer) : answer_(answer), response_(Response()) { Begin(); }

  // Returns the number of bytes that the server sends.
  std::size_t Call() {
    if (stream_ / 2 == kCallsOfASession) Begin();
    const std::string& request = RequestOn(stream_);
    stream_ += 2;
    session_->Receive(request, now_);
    return Produce();
  }

  std::uint64_t answered() const { return answered_; }

 private:
  struct Plain final : Stream {
    using Stream::Stream;
    bool IsOverdue(std::chrono::steady_clock::time_point /*now*/) const override { return false; }
  };

  void Begin() {
    session_ = std::make_unique<Session>(*this, now_);
    session_->Receive(std::string(http2::kPreface) + http2::Frame(NGHTTP2_SETTINGS, 0, 0, "") +
                          http2::Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, http2::Number(kAmpleWindow, 4)),
                      now_);
    Produce();
    session_->Receive(http2::Frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""), now_);
    stream_ = 1;
    const std::string head = http2::HeaderFrames(
        0, http2::RequestHeaders(kPath, {{"grpc-timeout", "10S"}, {"user-agent", "grpc-go/1.60.1"}}));
    data_at_ = head.size();
    request_ = head + http2::Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0,
                                   http2::Message(Request().SerializeAsString()));
  }

  // The bytes of a request, with this stream's number in its two frames.
  const std::string& RequestOn(std::uint32_t stream) {
    constexpr std::size_t kStreamAt = 5;
    const std::string number = http2::Number(stream, 4);
    request_.replace(kStreamAt, number.size(), number);
    request_.replace(data_at_ + kStreamAt, number.size(), number);
    return request_;
  }

  std::size_t Produce() {
    std::size_t bytes = 0;
    do {
      out_.clear();
      session_->Produce(out_, now_);
      bytes += out_.size();
    } while (!out_.empty());
    return bytes;
  }

  std::unique_ptr<Stream> MakeStream(StreamId id) override { return std::make_unique<Plain>(id); }

  void OnProgress(Stream& stream) override {
    if (!stream.has_ended() || !stream.messages().HasMessage()) return;
    if (stream.head().Validate() || !IsValid(session_->TakeMessage(stream))) return;
    session_->ReleaseHead(stream);
    if (answer_ == Answer::kToken) {
      session_->Send(stream, EncodeMessage(response_));
      session_->Finish(stream, {});
    } else {
      session_->Finish(stream, ToStatus({Reason::kNotPermitted}, response_.request_id()));
    }
    ++answered_;
  }

  void OnEnd(Stream& /*stream*/) override {}

  const Answer answer_;
  const v1::CreateTokenResponse response_;
  const Session::TimePoint now_ = std::chrono::steady_clock::now();
  std::unique_ptr<Session> session_;
  std::string request_;
  std::size_t data_at_ = 0;  // where the DATA frame begins in it
  std::uint32_t stream_ = 1;
  std::uint64_t answered_ = 0;
  WipedBytes out_;
};

void Serve(benchmark::State& state, Server::Answer answer) {
  Server server(answer);
  std::uint64_t calls = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(server.Call());
    ++calls;
  }
  if (server.answered() != calls) state.SkipWithError("a call has no answer");
}

// From the bytes of a request to those of its answer: HTTP/2, the request checked, the answer encoded.
void DoorTurnsARequestIntoAToken(benchmark::State& state) { Serve(state, Server::Answer::kToken); }
void DoorTurnsARequestIntoARefusal(benchmark::State& state) { Serve(state, Server::Answer::kRefusal); }
BENCHMARK(DoorTurnsARequestIntoAToken);
BENCHMARK(DoorTurnsARequestIntoARefusal);

void DoorDecodesAndChecksARequest(benchmark::State& state) {
  const std::string message = Request().SerializeAsString();
  for (auto _ : state) {
    if (!IsValid(message)) state.SkipWithError("refused");
  }
}
BENCHMARK(DoorDecodesAndChecksARequest);

void DoorEncodesAResponse(benchmark::State& state) {
  const v1::CreateTokenResponse response = Response();
  for (auto _ : state) benchmark::DoNotOptimize(EncodeMessage(response));
}
BENCHMARK(DoorEncodesAResponse);

}  // namespace
}  // namespace tokend::rpc
