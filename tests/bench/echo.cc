#include <signal.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "daemon/config/load.h"
#include "daemon/rpc/server.h"
#include "daemon/telemetry/log.h"
#include "tests/unit/rpc/fake_issuer.h"

// The listeners of a configuration of tokend, with all that the daemon does on their threads, and behind them
// nothing: every request is answered at once, from memory. It shows what the gRPC server alone costs.
namespace tokend {
namespace {

class EchoIssuer final : public issue::Issuer {
 public:
  std::shared_ptr<issue::Call> Create(Caller /*caller*/, TokenRequest request,
                                      std::chrono::steady_clock::time_point /*deadline*/,
                                      issue::ReplyCallback reply) override {
    reply(rpc::ReleasedFor(request));
    return call_;
  }
  void Show(const Caller& /*caller*/, issue::EntitlementCallback shown) override {
    shown(issue::Entitlement{});
  }
  void Refuse(const Caller* /*caller*/, std::string_view /*on_behalf_of*/, std::string_view /*listener*/,
              std::string_view /*peer*/, std::string_view /*request_id*/, std::string_view /*trace*/,
              const Failure& /*failure*/) override {}

 private:
  class NoCall final : public issue::Call {
    void Cancel() override {}
  };

  const std::shared_ptr<issue::Call> call_ = std::make_shared<NoCall>();
};

int Serve(const std::string& path) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const config::LoadResult loaded = config::Load(path);
  for (const std::string& error : loaded.errors) std::cerr << error << std::endl;
  if (!loaded.config) return 1;
  const auto settings = rpc::ReadServerSettings(*loaded.config);
  if (!settings.ok()) {
    std::cerr << settings.status() << std::endl;
    return 1;
  }
  telemetry::Metrics metrics(telemetry::UpstreamProtocol::kHttp);
  EchoIssuer issuer;
  const issue::CurrentConfig current(
      std::make_shared<issue::ConfigSnapshot>(issue::ConfigSnapshot{.fingerprint = "", .policy = {{}, {}}}));
  const auto server = rpc::Server::Start(*loaded.config, *settings, issuer, current, metrics);
  if (!server.ok()) {
    std::cerr << server.status() << std::endl;
    return 1;
  }
  telemetry::SetLogLevel(config::LogLevel::kError);  // the addresses are logged: the calls are not
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}

}  // namespace
}  // namespace tokend

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: bench-echo CONFIG" << std::endl;
    return 1;
  }
  return tokend::Serve(argv[1]);
}
