// Calls the real daemon with standard tools that have only the .proto files and the documentation.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/fakes/test_authority.h"
#include "tests/fakes/test_tokens.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::HasSubstr;

const std::string kSource = TOKEND_SOURCE;
const std::map<std::string, std::string> kPath = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                                  {"HOME", "/nonexistent"}};

class StockClients : public SystemTest {
 protected:
  std::string socket() const { return folder_ / "tokend.sock"; }

  void ExpectMinted(const Ended& ended) {
    ASSERT_EQ(ended.exit, 0) << ended.out << ended.err;
    ASSERT_EQ(applivery_->tokens().size(), 1U);
    EXPECT_THAT(ended.out, HasSubstr(applivery_->tokens()[0].bearer));
  }
};

enum class Language { kPython, kNode, kGo };
constexpr std::array<const char*, 3> kLanguages = {"Python", "Node", "Go"};

void PrintTo(Language language, std::ostream* out) { *out << kLanguages[static_cast<std::size_t>(language)]; }

// The programs in client/examples, which print the bearer here.
class Examples : public StockClients, public testing::WithParamInterface<Language> {
 protected:
  // The environment of the example. For Python, this generates the messages.
  std::map<std::string, std::string> Environment() const {
    auto environment = kPath;
    if (GetParam() != Language::kPython) return environment;
    const std::string generated = folder_ / "python";
    std::filesystem::create_directory(generated);
    const Ended protoc = RunProgram(
        {"/usr/bin/protoc", "-I", kSource + "/proto", "--python_out=" + generated, "--grpc_out=" + generated,
         "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin", "tokend/v1/token_service.proto",
         "google/rpc/status.proto", "google/rpc/error_details.proto"});
    EXPECT_EQ(protoc.exit, 0) << protoc.err;
    environment["PYTHONPATH"] = generated;
    return environment;
  }

  static std::vector<std::string> Command(const std::vector<std::string>& parameters) {
    std::vector<std::string> command;
    if (GetParam() == Language::kPython)
      command = {"/usr/bin/python3", kSource + "/client/examples/python/mint.py"};
    if (GetParam() == Language::kNode) command = {"node", kSource + "/client/examples/node/mint.mjs"};
    if (GetParam() == Language::kGo) command = {Program("mint-go")};
    command.emplace_back("--bearer");
    command.insert(command.end(), parameters.begin(), parameters.end());
    command.emplace_back("ios-app");
    return command;
  }

  Ended Mint(const std::vector<std::string>& parameters) const {
    return RunProgram(Command(parameters), Environment());
  }

  // A daemon with a listener for client certificates and one for tokens, and the files of a caller of each.
  void StartWithTls() {
    const fakes::TestAuthority authority;
    const fakes::Identity server = authority.Issue("DNS:localhost");
    const fakes::Identity client = authority.Issue("URI:spiffe://test.example/ci");
    const fakes::TokenKey key = fakes::TokenKey::Ec("P-256");
    WriteFile(folder_ / "ca.crt", authority.certificate());
    WriteFile(folder_ / "server.crt", server.certificate);
    WriteFile(folder_ / "server.key", server.private_key);
    WriteFile(folder_ / "client.crt", client.certificate);
    WriteFile(folder_ / "client.key", client.private_key);
    WriteFile(folder_ / "jwks.json", fakes::JwkSet({key.Jwk()}));
    WriteFile(
        folder_ / "token",
        fakes::SignToken(key, "ES256", R"({"alg":"ES256"})",
                         R"({"iss":"https://issuer.example","aud":"tokend","sub":"ci","exp":4000000000})") +
            "\n");
    const std::string files =
        "certificate_file: " + (folder_ / "server.crt") + ", private_key_file: " + (folder_ / "server.key");
    Tokend::Options options;
    options.listeners =
        "  - name: local\n    address: unix://" + socket() +
        "\n    authentication: {none: {caller: ci}}\n"
        "  - name: mtls\n    address: 127.0.0.1:0\n    tls: {" +
        files + ", client_ca_file: " + (folder_ / "ca.crt") +
        "}\n    authentication: {mtls: {}}\n"
        "  - name: tokens\n    address: 127.0.0.1:0\n    tls: {" +
        files +
        "}\n    authentication: {jwt: {issuer: \"https://issuer.example\", audience: tokend, jwks_file: " +
        (folder_ / "jwks.json") + "}}\n";
    Start(options);
  }

  // With the name that is in the certificate.
  std::string AddressOf(const std::string& listener) const {
    const std::string address = tokend_->address(listener);
    return "localhost" + address.substr(address.rfind(':'));
  }
};

INSTANTIATE_TEST_SUITE_P(In, Examples, testing::Values(Language::kPython, Language::kNode, Language::kGo),
                         [](const auto& in) { return kLanguages[static_cast<std::size_t>(in.param)]; });

TEST_P(Examples, GetATokenOverAUnixSocket) {
  Start();
  ExpectMinted(Mint({tokend_->address()}));
}

TEST_P(Examples, GetTheSameTokenAgainWithItsRequestId) {
  Start();
  const std::string request_id = "7f9c24e8-3b12-4fef-91e0-5c1f3a8f6d01";
  for (int run = 0; run < 2; ++run) ExpectMinted(Mint({"--request-id", request_id, tokend_->address()}));
}

TEST_P(Examples, GetATokenWithAClientCertificate) {
  StartWithTls();
  ExpectMinted(Mint({"--ca", folder_ / "ca.crt", "--cert", folder_ / "client.crt", "--key",
                     folder_ / "client.key", AddressOf("mtls")}));
  EXPECT_THAT(LastRecord("token.issued"), HasSubstr(R"("name":"spiffe://test.example/ci")"));
}

TEST_P(Examples, GetATokenWithATokenFile) {
  StartWithTls();
  ExpectMinted(Mint({"--ca", folder_ / "ca.crt", "--token-file", folder_ / "token", AddressOf("tokens")}));
  const Ended refused = Mint({"--ca", folder_ / "ca.crt", AddressOf("tokens")});
  EXPECT_EQ(refused.exit, 1);
  EXPECT_THAT(refused.err, HasSubstr("CALLER_UNKNOWN"));
}

TEST_P(Examples, WaitForADaemonThatIsNotUpYet) {
  // Sees the example's first connection, so that the example has begun to wait when the daemon starts.
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  Process example(Command({"unix://" + socket()}), Environment(), folder_ / "out", folder_ / "err");
  pollfd connection = {.fd = listener, .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&connection, 1, 20'000), 1);
  close(accept(listener, nullptr, nullptr));
  close(listener);
  std::filesystem::remove(socket());
  Start();
  EXPECT_EQ(example.Wait(), 0) << example.err();
  ASSERT_EQ(applivery_->tokens().size(), 1U);
  EXPECT_THAT(example.out(), HasSubstr(applivery_->tokens()[0].bearer));
}

TEST_F(StockClients, BufCurlGetsATokenByReflection) {
  Start();
  ExpectMinted(
      RunProgram({kSource + "/tests/system/tools/node_modules/.bin/buf", "curl", "--protocol", "grpc",
                  "--http2-prior-knowledge", "--unix-socket", socket(), "--data",
                  R"({"application": "ios-app"})", "http://localhost/tokend.v1.TokenService/CreateToken"},
                 kPath));
}

TEST_F(StockClients, TokenctlPrintsTheBearerAlone) {
  Start();
  const Ended ended = RunProgram({Program("tokenctl"), "--address", tokend_->address(), "create", "--app",
                                  "ios-app", "--output", "bearer"});
  ExpectMinted(ended);
  EXPECT_EQ(ended.out, applivery_->tokens()[0].bearer + "\n");
  EXPECT_EQ(RunProgram({Program("tokenctl"), "--address", tokend_->address(), "health"}).exit, 0);
  const Ended whoami = RunProgram({Program("tokenctl"), "--address", tokend_->address(), "whoami"});
  EXPECT_EQ(whoami.exit, 0);
  EXPECT_THAT(whoami.out, HasSubstr("everyone"));
  EXPECT_EQ(
      RunProgram({Program("tokenctl"), "--address", tokend_->address(), "create", "--app", "missing"}).exit,
      5);
}

}  // namespace
}  // namespace tokend::system
