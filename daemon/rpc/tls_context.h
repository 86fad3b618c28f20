#pragma once

#include <openssl/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/sha256.h"
#include "daemon/config/config.h"

namespace tokend::rpc {

struct FreeSsl {
  void operator()(SSL* session) const;
  void operator()(SSL_CTX* context) const;
};
using SslSession = std::unique_ptr<SSL, FreeSsl>;

// The TLS configuration of a listener, from its files: certificate chain, private key, and the authorities of
// clients' certificates. TLS 1.2 and 1.3 with ALPN "h2". There is no renegotiation, no tickets and no
// resumption, so every connection presents its client certificate. Immutable. Any thread.
class TlsContext {
 public:
  // When clients take the certificate, both ends included.
  struct Validity {
    std::chrono::system_clock::time_point not_before;
    std::chrono::system_clock::time_point not_after;
  };

  // Reads the files and checks that each is valid, that the key belongs to the certificate, and that a
  // handshake with them succeeds. The certificate's dates are not judged. Errors name the file.
  static Result<std::shared_ptr<const TlsContext>> Read(const config::ServerTls& paths);

  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // The server's side of a new connection, without a socket. Null if there is no memory.
  SslSession NewSession() const;

  // Of the listener's own certificate, which is the first of its file.
  const Validity& validity() const { return validity_; }

  // What is doubtful about the files, which work all the same. Each names its file.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Whether the files of both have the same contents.
  bool Equals(const TlsContext& other) const { return digest_ == other.digest_; }

 private:
  explicit TlsContext(SSL_CTX* context) : context_(context) {}

  std::unique_ptr<SSL_CTX, FreeSsl> context_;
  Validity validity_;
  std::vector<std::string> warnings_;
  Sha256Digest digest_{};  // of the files
};

// The parts of a verified client certificate that identify the caller.
struct ClientCertificate {
  std::vector<std::string> uri_sans;
  std::vector<std::string> dns_sans;
  std::chrono::system_clock::time_point not_after;
};

// The client's certificate after the handshake; nothing if none was requested. Fails if it cannot be read.
Result<std::optional<ClientCertificate>> ClientCertificateOf(const SSL& session);

// The name of the client certificate that made the handshake fail: its subject as in RFC 2253 or, if that is
// empty, its one URI or DNS SAN. Empty if no certificate did, or it has no name. The client wrote the name:
// it is printable ASCII, everything else escaped, of at most 256 bytes.
std::string RefusedSubject(const SSL& session);

// Why a handshake failed, in fixed words of OpenSSL, such as "verify 10 certificate has expired" or "no
// shared cipher". It never contains text of the client. Clears OpenSSL's error queue of this thread.
std::string HandshakeError(const SSL& session);

}  // namespace tokend::rpc
