#include "daemon/rpc/credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpcpp/security/server_credentials.h>

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/rpc/methods.h"

namespace tokend::rpc {
namespace {

std::string_view View(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

bool IsDeclared(const grpc_metadata* metadata, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (View(metadata[i].key) != ":path") continue;
    const std::string_view path = View(metadata[i].value);
    return !path.empty() && path.front() == '/' && FindMethod(path.substr(1)) != nullptr;
  }
  return false;
}

// Where gRPC would have a call's own credentials judged, before it looks for a handler: interceptors cannot
// keep a call from one.
void JudgeMethod(void* /*state*/, grpc_auth_context* /*context*/, const grpc_metadata* metadata,
                 std::size_t count, grpc_process_auth_metadata_done_cb done, void* call) {
  const bool declared = IsDeclared(metadata, count);
  done(call, nullptr, 0, nullptr, 0, declared ? GRPC_STATUS_OK : GRPC_STATUS_UNIMPLEMENTED,
       declared ? nullptr : "no such method");
}

// Of gRPC's C API, for its C++ API has neither of what is needed: a judge of plaintext calls; and files that
// swap without a provider that a mismatching pair, seen halfway through a change, leaves without any.
class Credentials : public grpc::ServerCredentials {
 public:
  // Takes the credentials over.
  explicit Credentials(grpc_server_credentials* credentials) : credentials_(credentials) {
    grpc_server_credentials_set_auth_metadata_processor(credentials_, {&JudgeMethod, nullptr, nullptr});
  }
  ~Credentials() override { grpc_server_credentials_release(credentials_); }
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* credentials_;
};

class TlsCredentials final : public Credentials {
 public:
  explicit TlsCredentials(std::shared_ptr<const Current<TlsFiles>> current)
      : Credentials(Make(current->Get()->client_ca.empty()
                             ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                             : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
                         this)),
        current_(std::move(current)) {}

 private:
  static grpc_server_credentials* Make(grpc_ssl_client_certificate_request_type request,
                                       TlsCredentials* self) {
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &TlsCredentials::Fetch,
                                                                        self));
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
    // gRPC aborts without roots, which it has no use for where clients are not asked for a certificate.
    const std::string& roots = files->client_ca.empty() ? files->certificate_chain : files->client_ca;
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    served_ = std::move(files);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<const Current<TlsFiles>> current_;
  std::mutex mutex_;
  std::shared_ptr<const TlsFiles> served_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeCredentials(std::shared_ptr<const Current<TlsFiles>> tls) {
  if (tls) return std::make_shared<TlsCredentials>(std::move(tls));
  return std::make_shared<Credentials>(grpc_insecure_server_credentials_create());
}

}  // namespace tokend::rpc
