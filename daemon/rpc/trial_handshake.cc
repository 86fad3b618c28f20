#include "daemon/rpc/trial_handshake.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/certificates.h"

namespace tokend::rpc {
namespace {

// What a side can send at once. It waits for the other side to read.
constexpr std::size_t kBufferBytes = std::size_t{16} * 1024;

// Each side needs three turns, four if the client must offer another group, and one for each full buffer: the
// files of a listener are at most kMaxPemBytes each.
constexpr int kMaxTurns = 8 + 2 * kMaxPemBytes / kBufferBytes;

enum class Turn { kDone, kWaits, kFailed };

Turn MakeTurn(SSL& side) {
  const int result = SSL_do_handshake(&side);
  if (result == 1) return Turn::kDone;
  const int error = SSL_get_error(&side, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? Turn::kWaits : Turn::kFailed;
}

bool CompleteHandshake(SSL& client, SSL& server) {
  for (int turn = 0; turn < kMaxTurns; ++turn) {
    const Turn asked = MakeTurn(client);
    if (asked == Turn::kFailed) return false;
    const Turn answered = MakeTurn(server);
    if (answered == Turn::kFailed) return false;
    if (asked == Turn::kDone && answered == Turn::kDone) return true;
  }
  return false;
}

}  // namespace

Status TryHandshake(SslSession server) {
  ERR_clear_error();
  const absl::Cleanup forget_errors = [] { ERR_clear_error(); };
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  const std::unique_ptr<SSL_CTX, FreeSsl> context(SSL_CTX_new(TLS_client_method()));
  const SslSession client(context ? SSL_new(context.get()) : nullptr);
  BIO* client_end = nullptr;
  BIO* server_end = nullptr;
  if (!client || !server || SSL_set_alpn_protos(client.get(), kHttp2, sizeof(kHttp2)) != 0 ||
      BIO_new_bio_pair(&client_end, kBufferBytes, &server_end, kBufferBytes) != 1) {
    return absl::ResourceExhaustedError("there is no memory for TLS");
  }
  SSL_set_bio(client.get(), client_end, client_end);
  SSL_set_bio(server.get(), server_end, server_end);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
  SSL_set_verify(server.get(), SSL_VERIFY_NONE, nullptr);
  if (CompleteHandshake(*client, *server)) return absl::OkStatus();
  const char* const reason = ERR_reason_error_string(ERR_peek_error());
  return absl::InvalidArgumentError(reason != nullptr ? reason : "the handshake does not end");
}

}  // namespace tokend::rpc
