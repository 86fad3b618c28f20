#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/identity/make_authenticator.h"
#include "daemon/rpc/connection.h"
#include "daemon/rpc/health_service.h"
#include "daemon/rpc/reflection_service.h"
#include "daemon/rpc/token_service.h"
#include "daemon/telemetry/log.h"
#include "tests/fuzz/check.h"
#include "tests/unit/rpc/fake_issuer.h"

// Feeds any bytes to one connection, over a transport that reads and writes in pieces. The connection must
// not crash, must release all that it has counted, and must stay within its memory bounds.
namespace tokend::rpc {
namespace {

// Reads the input in pieces: a byte says the size of the next piece. Accepts all written bytes, but after an
// empty piece none for a while.
class FuzzedTransport final : public Transport {
 public:
  FuzzedTransport(std::string_view input, std::size_t& written) : input_(input), written_(written) {}

  bool is_over() const { return input_.empty() && piece_.empty(); }

  Io Handshake() override { return Io::kDone; }
  std::string HandshakeError() const override { return ""; }

  Io Read(char* into, std::size_t size, std::size_t& got) override {
    if (piece_.empty() && !NextPiece()) return Io::kWantRead;
    got = std::min(size, piece_.size());
    std::memcpy(into, piece_.data(), got);
    piece_.remove_prefix(got);
    return Io::kDone;
  }

  Io Write(std::string_view bytes, std::size_t& written) override {
    if (is_blocked_) return Io::kWantWrite;
    written = bytes.size();
    written_ += written;
    return Io::kDone;
  }

  bool HasBufferedInput() const override { return !piece_.empty(); }
  void SendCloseNotify() override {}
  Result<std::optional<ClientCertificate>> Certificate() const override {
    return std::optional<ClientCertificate>();
  }

 private:
  // Returns false if the socket has no more bytes for now.
  bool NextPiece() {
    if (input_.empty()) return false;
    constexpr std::size_t kUnit = 16;
    const auto size = static_cast<unsigned char>(input_.front()) * kUnit;
    input_.remove_prefix(1);
    piece_ = input_.substr(0, size);
    input_.remove_prefix(piece_.size());
    is_blocked_ = size == 0 && !is_blocked_;
    return !piece_.empty();
  }

  std::string_view input_;
  std::string_view piece_;
  std::size_t& written_;
  bool is_blocked_ = false;
};

// Answers at once, later or never, as the request's description says.
class FuzzedIssuer final : public issue::Issuer {
 public:
  class Call final : public issue::Call {
   public:
    void Cancel() override {}
  };

  std::shared_ptr<issue::Call> Create(Caller /*caller*/, TokenRequest request,
                                      std::chrono::steady_clock::time_point /*deadline*/,
                                      issue::ReplyCallback reply) override {
    const char choice = request.description().empty() ? '\0' : request.description().front();
    if (choice == 'l') {
      later_.emplace_back(std::move(request), std::move(reply));
    } else if (choice == 'f') {
      reply(Failure{Reason::kOutcomeUnknown});
    } else if (choice != 'n') {
      reply(ReleasedFor(request));
    }
    return std::make_shared<Call>();
  }

  void Show(const Caller& /*caller*/, issue::EntitlementCallback shown) override {
    shown(issue::Entitlement{});
  }

  void Refuse(const Caller* /*caller*/, std::string_view /*on_behalf_of*/, std::string_view /*listener*/,
              std::string_view /*peer*/, std::string_view /*request_id*/, std::string_view /*trace*/,
              const Failure& failure) override {
    fuzz::Check(!Name(failure.reason).empty());
  }

  void AnswerLater() {
    for (auto& [request, reply] : std::exchange(later_, {})) reply(ReleasedFor(request));
  }

 private:
  std::vector<std::pair<TokenRequest, issue::ReplyCallback>> later_;
};

std::shared_ptr<CurrentAuthenticator> Everyone() {
  config::Listener listener;
  listener.name = "fuzz";
  listener.authentication = config::NoAuthentication{"dev"};
  return std::make_shared<CurrentAuthenticator>(*identity::MakeAuthenticator(listener, nullptr));
}

// The parts of a listener, without its thread.
class Environment {
 public:
  Environment() {
    telemetry::SetLogLevel(config::LogLevel::kError);
    health_.Add(routes_);
    AddTokenService(services_, routes_);
    AddReflectionService(services_, routes_);
    context_.mailbox->BindToThisThread();
    context_.identifies_caller = [](const Peer&) { return true; };
    health_.SetServing(Serving::kYes);
  }

  void Feed(std::string_view input) {
    std::size_t written = 0;
    auto transport = std::make_unique<FuzzedTransport>(input, written);
    const FuzzedTransport& fed = *transport;
    Connection connection(context_, 1, Descriptor(open("/dev/null", O_RDWR | O_CLOEXEC)),
                          std::move(transport), {.name = "fuzz"});
    // Each turn reads at least one piece, and a closed connection reads no more.
    for (int turn = 0; connection.is_open() && !fed.is_over() && turn < 4096; ++turn) {
      connection.OnReady(EPOLLIN | EPOLLOUT);
      if (turn % 3 == 0) issuer_.AnswerLater();
      if (turn % 7 == 0) health_.SetServing(turn % 2 == 0 ? Serving::kNo : Serving::kYes);
      context_.mailbox->RunTasks();
      Flush(connection);
      // The maximum of the queue, plus one answer of each stream.
      fuzz::Check(connection.answer_bytes() <=
                  bounds::kMaxQueuedAnswerBytes + bounds::kMaxStreams * kLargestAnswer);
    }
    connection.Stop(std::chrono::steady_clock::now());
    Flush(connection);
    connection.CloseAtOnce(CloseCause::kDrain);
    context_.to_flush.clear();
    fuzz::Check(written <= kMaxAmplification * (input.size() + 1));
  }

  void ExpectNothingLeft() {
    issuer_.AnswerLater();
    context_.mailbox->RunTasks();
    fuzz::Check(context_.answer_bytes == 0);
    fuzz::Check(in_flight_->calls_in_flight() == 0);
    fuzz::Check(!context_.timers.Next());
  }

 private:
  static constexpr std::size_t kLargestAnswer = std::size_t{64} * 1024;
  // A reflection request of a few bytes is answered with the descriptor of a file.
  static constexpr std::size_t kMaxAmplification = 4096;

  void Flush(Connection& connection) {
    while (!context_.to_flush.empty()) {
      context_.to_flush.clear();
      connection.Flush();
    }
  }

  telemetry::Metrics metrics_;
  FuzzedIssuer issuer_;
  const issue::CurrentConfig current_{std::make_shared<issue::ConfigSnapshot>(
      issue::ConfigSnapshot{"", {{}, {{"acme", config::KeyFile{"/key"}}}}})};
  const std::shared_ptr<InFlightLimit> in_flight_ =
      std::make_shared<InFlightLimit>(64, Shares::Policy::kOneHolder, metrics_);
  const CallServices services_{"fuzz", Everyone(), in_flight_, issuer_, current_};
  HealthService health_;
  Routes routes_;
  ConnectionContext context_{
      .routes = routes_, .metrics = metrics_, .mailbox = std::make_shared<Mailbox>(), .times = {}};
};

}  // namespace
}  // namespace tokend::rpc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tokend::rpc::Environment environment;
  environment.Feed({reinterpret_cast<const char*>(data), size});
  environment.ExpectNothingLeft();
  return 0;
}
