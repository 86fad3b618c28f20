#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/base/overload.h"

// The validated configuration. Only daemon/config makes one, from a file that it has judged: the parts that
// are built from it do not judge again. The keys, what they mean and their defaults stand in
// proto/tokend/config/v1/config.proto; here an absent number is 0 and an absent text empty.
namespace tokend::config {

namespace v1 {
class Config;
}

// "unix:///path" or "host:port".
struct UnixAddress {
  std::string path;
  bool operator==(const UnixAddress&) const = default;
};
struct TcpAddress {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  bool operator==(const TcpAddress&) const = default;
};
using Address = std::variant<UnixAddress, TcpAddress>;

// As the configuration writes it: "unix:///run/t.sock", "127.0.0.1:8443", "[::1]:0".
std::string ToString(const Address& address);

struct ServerTls {
  std::string certificate_file;
  std::string private_key_file;
  std::string client_ca_file;  // empty: client certificates are not asked for
  bool operator==(const ServerTls&) const = default;
};

struct NoAuthentication {
  std::string caller;
  bool operator==(const NoAuthentication&) const = default;
};
struct UnixCaller {
  uid_t uid = 0;
  std::string name;
  bool operator==(const UnixCaller&) const = default;
};
struct UnixAuthentication {
  std::vector<UnixCaller> callers;
  bool operator==(const UnixAuthentication&) const = default;
};
struct MtlsAuthentication {};
struct JwksFile {
  std::string path;
  bool operator==(const JwksFile&) const = default;
};
struct JwksUrl {
  std::string url;         // https://…
  std::string ca_file;     // empty: the system's CAs
  std::string token_file;  // empty: no token is sent
  bool operator==(const JwksUrl&) const = default;
};
struct JwtAuthentication {
  std::string issuer;
  std::string audience;
  std::variant<JwksFile, JwksUrl> jwks;
  std::string caller_template;
  std::string trust_domain;  // empty: none
  // Whether names outside of the trust domain are refused: trust domains alone keep these callers apart from
  // those of another listener's issuer.
  bool only_trust_domain = false;
  bool operator==(const JwtAuthentication&) const = default;
};
using ListenerAuthentication =
    std::variant<NoAuthentication, UnixAuthentication, MtlsAuthentication, JwtAuthentication>;

// The URL that the authentication fetches its keys from; null where it fetches none.
inline const JwksUrl* JwksUrlOf(const ListenerAuthentication& authentication) {
  return std::visit(Overload{[](const NoAuthentication&) -> const JwksUrl* { return nullptr; },
                             [](const UnixAuthentication&) -> const JwksUrl* { return nullptr; },
                             [](const MtlsAuthentication&) -> const JwksUrl* { return nullptr; },
                             [](const JwtAuthentication& jwt) { return std::get_if<JwksUrl>(&jwt.jwks); }},
                    authentication);
}

struct Listener {
  std::string name;
  Address address;
  mode_t socket_mode = 0;  // of a unix socket
  std::optional<ServerTls> tls;
  ListenerAuthentication authentication;
  std::optional<std::size_t> max_connections_per_peer = {};  // of one address or uid; none: its share
};

// Where an API key is read from.
struct KeyFile {
  std::string path;
};
struct KeyEnvironment {
  std::string variable;
};
struct KeyCredential {
  std::string name;  // in $CREDENTIALS_DIRECTORY
};
using ApiKeySource = std::variant<KeyFile, KeyEnvironment, KeyCredential>;

// A token bucket: `tokens` each `per`, of which `burst` at once.
struct Limit {
  std::string name;
  std::uint64_t tokens = 0;
  std::chrono::milliseconds per{0};
  std::uint64_t burst = 0;
};

struct Organization {
  std::string name;
  std::optional<ApiKeySource> api_key = {};  // nothing: the daemon is a relay, and has no keys
  std::vector<Limit> limits = {};
};

struct Applivery {
  std::string base_url;  // no trailing slash, no query, no user
  bool allow_http = false;
  std::string ca_file;  // empty: the system's CAs
  std::chrono::milliseconds connect_timeout{0};
  std::chrono::milliseconds timeout{0};
  std::size_t max_in_flight = 0;
  std::string proxy = {};  // http://host:port; empty: none
  std::size_t connection_max_requests = 0;
  std::chrono::milliseconds connection_max_age{0};
  std::chrono::milliseconds connection_max_idle{0};
  std::size_t max_response_size = 0;
};

// The client's side of a TLS connection.
struct ClientTls {
  std::string ca_file = {};           // empty: the system's CAs
  std::string certificate_file = {};  // empty: none, and then no key
  std::string private_key_file = {};
};

// A central tokend. With this upstream tokend is a relay, and has no API key.
struct TokendUpstream {
  Address address;                       // host and port, or a unix socket
  ClientTls tls;                         // not used on a unix socket
  bool plaintext = false;                // a unix socket, or a loopback address without `tls`
  std::string server_name;               // the name that the centre's certificate must have
  std::string token_file;                // empty: no token is sent
  std::chrono::milliseconds timeout{0};  // of one call to the centre
  std::size_t max_in_flight = 0;
};
using Upstream = std::variant<Applivery, TokendUpstream>;

struct Grant {
  std::string name;
  std::vector<std::string> callers;        // patterns
  std::vector<std::string> organizations;  // patterns; never empty
  std::vector<std::string> applications;   // patterns
  std::vector<std::string> scopes;
  std::vector<std::string> default_scopes;  // never empty
  std::string description_template = {};
  std::vector<Limit> limits = {};                 // of each caller
  std::vector<Limit> shared_limits = {};          // of all callers together
  std::optional<std::size_t> max_in_flight = {};  // of each caller; none: no limit of the grant's
};

struct Requests {
  std::chrono::milliseconds remember{0};
  std::size_t max_entries = 0;
};

struct MemoryState {};
enum class OnRedisFailure { kDeny, kLocal };
struct RedisState {
  Address address;
  std::string username;       // empty: the default user
  std::string password_file;  // empty: no password
  std::optional<ClientTls> tls = {};
  std::string encryption_key_file;  // 32 bytes
  OnRedisFailure on_failure{};
};
using State = std::variant<MemoryState, RedisState>;

struct AuditFile {
  std::string path;
  std::uint64_t max_size = 0;
  std::size_t keep = 0;
};
struct Audit {
  std::optional<AuditFile> file;
  bool to_stdout = false;
  std::chrono::milliseconds deadline{0};
  std::string signing_key_file;      // empty: checkpoints are not signed
  std::string fingerprint_key_file;  // empty: a key made at start
};

struct Server {
  std::size_t max_in_flight = 0;
  std::chrono::milliseconds drain_delay{0};
  std::chrono::milliseconds drain{0};
};

enum class LogLevel { kTrace, kDebug, kInfo, kWarning, kError };
enum class LogFormat { kJson, kText };
struct Log {
  LogLevel level{};
  LogFormat format{};
};

struct Config {
  std::vector<Listener> listeners;
  Upstream upstream;
  std::vector<Organization> organizations;  // that tokens can be made in
  std::vector<Grant> grants;
  Requests requests;
  State state;
  Audit audit;
  Server server;
  std::optional<TcpAddress> admin;
  Log log;

  // The text that `tokend check --print` prints, and the first 16 hex digits of its SHA-256.
  std::string effective;
  std::string fingerprint;

  // Every file that the keys name, without the configuration's own.
  std::vector<std::string> files;

  // For a reload to compare with: all keys but the policy, which may change.
  std::shared_ptr<const v1::Config> schema;

  // "FILE:LINE:COLUMN: warning: …", for the operator. A warning stops nothing.
  std::vector<std::string> warnings;
};

// Whether the grants name one caller and no pattern: what callers share is then all that caller's.
bool NamesOneCaller(const std::vector<Grant>& grants);

}  // namespace tokend::config
