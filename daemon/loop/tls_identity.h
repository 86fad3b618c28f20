#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

struct evp_pkey_st;
struct ssl_ctx_st;
struct x509_st;

namespace tokend::loop {

// The certificate that a TLS client shows to servers, with its chain and its private key. Set the chain
// first. Const functions are thread-safe.
class TlsIdentity {
 public:
  // Both take PEM texts. The words of an error follow the name of the text's file.
  Status SetChain(std::string_view certificates);
  Status SetPrivateKey(const Secret& key);

  // Handshakes of the context show this certificate from now on. False: OpenSSL rejects it.
  bool Use(ssl_ctx_st* context) const;

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const;
    void operator()(x509_st* certificate) const;
  };

  std::vector<std::unique_ptr<x509_st, Free>> chain_;  // the client's own certificate first
  std::unique_ptr<evp_pkey_st, Free> private_key_;
};

}  // namespace tokend::loop
