#include "client/channel.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "daemon/base/certificates.h"
#include "daemon/base/read_file.h"
#include "daemon/base/text.h"

namespace tokend::client {
namespace {

constexpr std::string_view kUnixScheme = "unix://";
constexpr std::size_t kMaxFileSize = 1024UL * 1024;
constexpr std::size_t kMaxTokenSize = 16384;

// The pause after a connection that failed: the shortest that gRPC allows, growing to one that still finds a
// daemon within a second.
constexpr int kFirstReconnectBackoffMs = 100;
constexpr int kLastReconnectBackoffMs = 500;

// How often gRPC may ask for the addresses of a name after it has lost a connection. Its own 30 seconds would
// keep a client from a daemon that has come back elsewhere.
constexpr int kResolveEveryMs = 1000;

struct Address {
  std::string target;  // in gRPC's form
  bool is_unix = false;
  bool is_loopback = false;
};

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsLoopback(const std::string& host) {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24U) == 127;
  return host == "::1" || host == "localhost";
}

Result<Address> ParseUnix(std::string_view path) {
  // gRPC reads the target as a URI, so characters with a meaning in URIs could name another socket.
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return IsAlphanumeric(c) || std::string_view("/._-+,=@~").find(c) != std::string_view::npos;
  });
  if (!plain || !path.starts_with('/') || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(
        "address: a unix socket must be unix:///path, with an absolute path of at most 107 letters, digits "
        "and /._-+,=@~");
  }
  return Address{.target = "unix:" + std::string(path), .is_unix = true};
}

bool IsPort(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

bool IsHost(const std::string& host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
    return IsAlphanumeric(c) || c == '.' || c == '-' || c == '_';
  });
}

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

Result<Address> ParseHostPort(const std::string& address) {
  const auto error =
      absl::InvalidArgumentError("address: must be unix:///path, host:port or [IPv6 address]:port");
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || !IsPort(std::string_view(address).substr(colon + 1))) return error;
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!IsIpv6(host)) return error;
  } else if (!IsHost(host)) {
    return error;
  }
  return Address{.target = "dns:///" + address, .is_loopback = IsLoopback(host)};
}

Result<Address> ParseAddress(const std::string& address) {
  if (address.starts_with(kUnixScheme))
    return ParseUnix(std::string_view(address).substr(kUnixScheme.size()));
  return ParseHostPort(address);
}

// Every file is read anew for each attempt or client, so it must be a regular file.
Result<Secret> ReadFile(const std::string& option, const std::string& path) {
  Result<Secret> file = ReadBoundedFile(path, kMaxFileSize);
  if (file.ok()) return file;
  return absl::InvalidArgumentError(option + ": " + std::string(file.status().message()));
}

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

Bio OpenPem(const Secret& pem) {
  return Bio(BIO_new_mem_buf(pem.Expose().data(), static_cast<int>(pem.size())));
}

Certificate ReadCertificate(const Secret& pem) {
  return Certificate(PEM_read_bio_X509(OpenPem(pem).get(), nullptr, nullptr, nullptr));
}

PrivateKey ReadPrivateKey(const Secret& pem) {
  return PrivateKey(PEM_read_bio_PrivateKey(OpenPem(pem).get(), nullptr, NoPassphrase, nullptr));
}

Result<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const Options& options) {
  grpc::SslCredentialsOptions ssl;
  if (!options.ca_file.empty()) {
    Result<Secret> ca = ReadFile("ca", options.ca_file);
    if (!ca.ok()) return ca.status();
    if (ReadCertificate(*ca) == nullptr)
      return absl::InvalidArgumentError("ca: the file must hold certificates in PEM");
    ssl.pem_root_certs = ca->Expose();
  }
  if (options.certificate_file.empty() != options.private_key_file.empty()) {
    return absl::InvalidArgumentError("cert and key: give both or neither");
  }
  if (options.certificate_file.empty()) return grpc::SslCredentials(ssl);

  Result<Secret> certificate = ReadFile("cert", options.certificate_file);
  if (!certificate.ok()) return certificate.status();
  Result<Secret> key = ReadFile("key", options.private_key_file);
  if (!key.ok()) return key.status();
  const Certificate leaf = ReadCertificate(*certificate);
  if (leaf == nullptr) return absl::InvalidArgumentError("cert: the file must hold a certificate in PEM");
  const PrivateKey private_key = ReadPrivateKey(*key);
  if (private_key == nullptr) {
    return absl::InvalidArgumentError("key: the file must hold a private key in PEM, without a passphrase");
  }
  if (X509_check_private_key(leaf.get(), private_key.get()) != 1) {
    return absl::InvalidArgumentError("key: must be the private key of cert");
  }
  ssl.pem_cert_chain = certificate->Expose();
  ssl.pem_private_key = key->Expose();
  auto credentials = grpc::SslCredentials(ssl);
  OPENSSL_cleanse(ssl.pem_private_key.data(), ssl.pem_private_key.size());
  return credentials;
}

}  // namespace

Result<std::shared_ptr<grpc::Channel>> OpenChannel(const Options& options) {
  const Result<Address> address = ParseAddress(options.address);
  if (!address.ok()) return address.status();
  const bool wants_tls = !options.ca_file.empty() || !options.certificate_file.empty() ||
                         !options.private_key_file.empty() || !options.token_file.empty();
  if (address->is_unix && wants_tls) {
    return absl::InvalidArgumentError(
        "address: TLS files and a token cannot be used with a unix socket, only with host:port");
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLastReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kResolveEveryMs);
  // gRPC would otherwise read the environment's proxy variables.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (address->is_unix || (address->is_loopback && !wants_tls)) {
    return grpc::CreateCustomChannel(address->target, grpc::InsecureChannelCredentials(), arguments);
  }
  Result<std::shared_ptr<grpc::ChannelCredentials>> credentials = TlsCredentials(options);
  if (!credentials.ok()) return credentials.status();
  return grpc::CreateCustomChannel(address->target, *credentials, arguments);
}

std::string NoConnection(const std::string& address, const std::string& why) {
  const std::string reason_begin = "last error: ";
  for (const std::string_view absent : {"No such file or directory", "Connection refused"}) {
    if (why.ends_with(absent)) return Concat({"nothing listens at ", address, " (", absent, ")"});
  }
  if (why.empty()) return "no connection to " + address + " came about in time";
  const std::size_t at = why.find(reason_begin);
  const std::string reason = at == std::string::npos ? why : why.substr(at + reason_begin.size());
  return "no connection to " + address + " (" + reason + ")";
}

Result<Secret> ReadTokenFile(const std::string& path) {
  Result<Secret> file = ReadFile("token-file", path);
  if (!file.ok()) return file.status();
  std::string_view token = file->Expose();
  while (token.ends_with('\n') || token.ends_with('\r')) token.remove_suffix(1);
  if (token.empty() || token.size() > kMaxTokenSize || !IsVisibleAscii(token)) {
    return absl::InvalidArgumentError(
        "token-file: must hold a token of 1 to 16384 printable ASCII characters without blanks");
  }
  return Secret(token);
}

}  // namespace tokend::client
