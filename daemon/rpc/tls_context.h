#pragma once

#include <openssl/types.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::rpc {

struct FreeSsl {
  void operator()(SSL* session) const;
};
using SslSession = std::unique_ptr<SSL, FreeSsl>;

// What a listener's TLS files hold, ready for handshakes: certificate chain, private key and the certificates
// that clients' certificates must lead to. TLS 1.2 and 1.3, ALPN "h2"; no renegotiation, no tickets and no
// resumption, so that every connection shows its certificate anew. Immutable; any thread.
class TlsContext {
 public:
  // Reads the files and makes sure that they are what they should be and belong together. Errors name the
  // file.
  static Result<std::shared_ptr<const TlsContext>> Read(const config::ServerTls& paths);

  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // A server's side of one connection, without a socket yet. Null where memory is short.
  SslSession NewSession() const;

  // Whether the files held the same bytes.
  bool Equals(const TlsContext& other) const { return digest_ == other.digest_; }

 private:
  struct FreeContext {
    void operator()(SSL_CTX* context) const;
  };
  using Digest = std::array<unsigned char, 32>;

  explicit TlsContext(SSL_CTX* context) : context_(context) {}

  std::unique_ptr<SSL_CTX, FreeContext> context_;
  Digest digest_{};  // of the files
};

// What a verified client certificate says of who it is for.
struct ClientCertificate {
  std::vector<std::string> uri_sans;
  std::vector<std::string> dns_sans;
  std::chrono::system_clock::time_point not_after;
};

// The certificate that the client showed in a handshake that is done; nothing: it was not asked for one. An
// error where it cannot be read.
Result<std::optional<ClientCertificate>> ClientCertificateOf(const SSL& session);

// Why a handshake failed, in OpenSSL's fixed words, and never what the client sent: "verify 10 certificate
// has expired", "no shared cipher". Takes OpenSSL's errors of this thread.
std::string HandshakeError(const SSL& session);

}  // namespace tokend::rpc
