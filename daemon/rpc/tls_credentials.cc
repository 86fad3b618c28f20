#include "daemon/rpc/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <mutex>
#include <string>
#include <utility>

namespace tokend::rpc {
namespace {

// gRPC's C++ API swaps files only through a provider that a mismatching pair, seen halfway through a change,
// leaves without any; its C API asks whoever owns the keys.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(std::shared_ptr<const Current<TlsFiles>> current) : current_(std::move(current)) {
    const bool asks = !current_->Get()->client_ca.empty();
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            asks ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                 : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            &TlsCredentials::Fetch, this));
  }
  ~TlsCredentials() override { grpc_server_credentials_release(credentials_); }
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(void* self,
                                                         grpc_ssl_server_certificate_config** config) {
    return static_cast<TlsCredentials*>(self)->Fetch(config);
  }

  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    std::shared_ptr<const TlsFiles> files = current_->Get();
    const std::lock_guard lock(mutex_);
    if (files == served_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    // gRPC takes texts that end with a zero.
    Secret key;
    key.Reserve(files->private_key.size() + 1);
    key.Append(files->private_key.Expose());
    key.Append(std::string_view("\0", 1));
    const grpc_ssl_pem_key_cert_pair pair{key.Expose().data(), files->certificate_chain.c_str()};
    *config = grpc_ssl_server_certificate_config_create(
        files->client_ca.empty() ? nullptr : files->client_ca.c_str(), &pair, 1);
    served_ = std::move(files);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<const Current<TlsFiles>> current_;
  grpc_server_credentials* credentials_;
  std::mutex mutex_;
  std::shared_ptr<const TlsFiles> served_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(
    std::shared_ptr<const Current<TlsFiles>> current) {
  return std::make_shared<TlsCredentials>(std::move(current));
}

}  // namespace tokend::rpc
