#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace tokend {
namespace {

// Who may look at a secret's bytes. Whoever adds a place here says in the review why it must.
const std::set<std::string> kMayExpose = {
    "client/channel.cc",                      // the client's own files, on their way to gRPC
    "client/client.cc",                       // the client's own token, on its way into the call
    "client/output.cc",                       // what tokenctl is asked to print
    "client/online_commands.cc",              // likewise
    "daemon/audit/fingerprint.cc",            // HMAC of a bearer
    "daemon/base/certificates.cc",            // a file of public certificates
    "daemon/base/key_file.cc",                // a file that holds a key, while the key is cut out of it
    "daemon/base/secret.h",                   // its definition
    "daemon/identity/jwt_authenticator.cc",   // a caller's token, while it is verified
    "daemon/identity/make_authenticator.cc",  // a file of public keys
    "daemon/identity/url_key_source.cc",      // the daemon's own token, on its way to an issuer; public keys
    "daemon/loop/tls_identity.cc",            // a relay's own TLS key, on its way to OpenSSL
    "daemon/rpc/authenticated_call.cc",       // a caller's token, on its way to its authenticator
    "daemon/rpc/tls_context.cc",              // the listeners' own TLS keys, on their way to OpenSSL
    "daemon/rpc/token_service.cc",            // a released bearer, on its way to its caller
    "daemon/state/redis/wire.cc",             // Redis's password, on its way to Redis
    "daemon/state/redis/sealer.cc",           // a token, as it is sealed, and the key for that
    "daemon/state/redis/tls.cc",              // the daemon's own TLS key, on its way to OpenSSL
    "daemon/upstream/answer_body.cc",
    "daemon/upstream/api_key.cc",  // to tell whether it is another key
    "daemon/upstream/applivery.cc",
    "daemon/upstream/central_answer.cc",       // a message of the central tokend, while it is parsed
    "daemon/upstream/relayed_request.cc",      // a bearer, so that its copies are wiped
    "daemon/upstream/central_credentials.cc",  // to tell whether a relay's credentials are others
    "daemon/upstream/curl_central_calls.cc",   // a relay's token, on its way to the centre
    "daemon/upstream/grpc_exchange.cc",        // the centre's answer
};

TEST(Secret, IsExposedOnlyWhereItMustBe) {
  const std::filesystem::path source = TOKEND_SOURCE;
  std::set<std::string> exposing;
  for (const char* top : {"daemon", "client"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source / top)) {
      const std::string extension = entry.path().extension();
      if (extension != ".cc" && extension != ".h") continue;
      std::ifstream file(entry.path());
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      if (text.find("Expose()") == std::string::npos) continue;
      exposing.insert(std::filesystem::relative(entry.path(), source));
    }
  }
  EXPECT_EQ(exposing, kMayExpose);
}

}  // namespace
}  // namespace tokend
