#pragma once

#include <cstddef>
#include <unordered_map>

struct ssl_ctx_st;
struct ssl_st;

namespace tokend::loop {

// Knows which TLS sessions the server ended because it refuses the client's certificate. With TLS 1.3 the
// server may say so after the client has sent a request. It has read nothing of that request, because its own
// handshake has failed. One thread.
class TlsRefusals {
 public:
  // Observes the sessions of the context. This outlives the sessions.
  void Observe(ssl_ctx_st* context);

  // The server's reason, in fixed words of OpenSSL. Null: the server has not refused the client's
  // certificate. The session may have ended.
  const char* WhyRefused(const ssl_st* session) const;

 private:
  struct Session {
    bool served = false;  // the server has sent data, so it has accepted the certificate
    int alert = 0;        // the number of the fatal alert that has come; 0: none
  };

  static void OnState(const ssl_st* session, int where, int value);
  static void OnMessage(int is_sent, int version, int content_type, const void* bytes, std::size_t size,
                        ssl_st* session, void* self);

  std::unordered_map<const ssl_st*, Session> sessions_;  // by address, which the next session may get
};

}  // namespace tokend::loop
