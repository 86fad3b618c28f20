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

// The validated configuration: what is in one of these has been judged, so the parts that are built from it
// do not judge again. The keys and what they mean: proto/tokend/config/v1/config.proto.
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

// As it stands in the configuration: "unix:///run/t.sock", "127.0.0.1:8443", "[::1]:0".
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
struct MtlsAuthentication {
  bool operator==(const MtlsAuthentication&) const = default;
};
struct JwksFile {
  std::string path;
  bool operator==(const JwksFile&) const = default;
};
struct JwksUrl {
  std::string url;         // https://…
  std::string ca_file;     // empty: the system's
  std::string token_file;  // empty: none is sent
  bool operator==(const JwksUrl&) const = default;
};
struct JwtAuthentication {
  std::string issuer;
  std::string audience;
  std::variant<JwksFile, JwksUrl> jwks;
  std::string caller_template = "{sub}";
  std::string trust_domain;  // empty: none
  bool operator==(const JwtAuthentication&) const = default;
};
using ListenerAuthentication =
    std::variant<NoAuthentication, UnixAuthentication, MtlsAuthentication, JwtAuthentication>;

struct Listener {
  std::string name;
  Address address;
  mode_t socket_mode = 0660;
  std::optional<ServerTls> tls;
  ListenerAuthentication authentication;
  std::optional<std::size_t> max_connections_per_peer = {};  // of one address or uid; nothing: its share
  bool operator==(const Listener&) const = default;
};

// Where an API key is read from.
struct KeyFile {
  std::string path;
  bool operator==(const KeyFile&) const = default;
};
struct KeyEnvironment {
  std::string variable;
  bool operator==(const KeyEnvironment&) const = default;
};
struct KeyCredential {
  std::string name;  // in $CREDENTIALS_DIRECTORY
  bool operator==(const KeyCredential&) const = default;
};
using KeySource = std::variant<KeyFile, KeyEnvironment, KeyCredential>;

// A token bucket: `tokens` each `per`, of which `burst` at once.
struct Limit {
  std::string name;
  std::uint64_t tokens = 0;
  std::chrono::milliseconds per{0};
  std::uint64_t burst = 0;  // the default is resolved
  bool operator==(const Limit&) const = default;
};

struct Organization {
  std::string name;
  KeySource api_key;
  std::vector<Limit> limits = {};
  bool operator==(const Organization&) const = default;
};

struct Applivery {
  std::string base_url;  // no trailing slash, no query, no user
  bool allow_http = false;
  std::string ca_file;
  std::vector<Organization> organizations;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds timeout{30000};
  std::size_t max_in_flight = 256;
  std::chrono::milliseconds connection_max_idle{4000};
  std::size_t max_response_size = 64U << 10U;
  bool operator==(const Applivery&) const = default;
};

struct Grant {
  std::string name;
  std::vector<std::string> callers;        // patterns
  std::vector<std::string> organizations;  // patterns; never empty: the default is resolved
  std::vector<std::string> applications;   // patterns
  std::vector<std::string> scopes;
  std::vector<std::string> default_scopes;  // never empty: the default is resolved
  std::string description_template = "{description}";
  std::vector<Limit> limits = {};                 // of each caller
  std::vector<Limit> shared_limits = {};          // of all callers together
  std::optional<std::size_t> max_in_flight = {};  // of each caller
  bool operator==(const Grant&) const = default;
};

struct Requests {
  std::chrono::milliseconds remember{std::chrono::minutes(10)};
  std::size_t max_entries = 100000;
  bool operator==(const Requests&) const = default;
};

struct MemoryState {
  bool operator==(const MemoryState&) const = default;
};
enum class OnRedisFailure { kDeny, kLocal };
struct RedisState {
  Address address;
  std::string username;             // empty: the default user
  std::string password_file;        // empty: no password
  std::string encryption_key_file;  // 32 bytes
  OnRedisFailure on_failure = OnRedisFailure::kDeny;
  bool operator==(const RedisState&) const = default;
};
using State = std::variant<MemoryState, RedisState>;

struct AuditFile {
  std::string path;
  std::uint64_t max_size = 256ULL << 20U;
  std::size_t keep = 30;
  bool operator==(const AuditFile&) const = default;
};
struct Audit {
  std::optional<AuditFile> file;
  bool to_stdout = false;
  std::chrono::milliseconds deadline{2000};
  std::string signing_key_file;      // empty: checkpoints are not signed
  std::string fingerprint_key_file;  // empty: a key made at start
  bool operator==(const Audit&) const = default;
};

struct Server {
  std::size_t max_in_flight = 1024;
  std::chrono::milliseconds drain_delay{0};
  std::chrono::milliseconds drain{20000};
  bool operator==(const Server&) const = default;
};

enum class LogLevel { kTrace, kDebug, kInfo, kWarning, kError };
enum class LogFormat { kJson, kText };
struct Log {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kJson;
  bool operator==(const Log&) const = default;
};

struct Config {
  std::vector<Listener> listeners;
  Applivery applivery;
  std::vector<Grant> grants;
  Requests requests;
  State state;
  Audit audit;
  Server server;
  std::optional<TcpAddress> admin;
  Log log;

  // What `tokend check --print` prints, and the first 16 hex digits of its SHA-256.
  std::string effective;
  std::string fingerprint;

  // Every file that the keys name, the configuration's own left out.
  std::vector<std::string> files;

  // What a reload is held against.
  std::shared_ptr<const v1::Config> schema;

  // What an operator should know and nothing is stopped by: "FILE:LINE:COLUMN: warning: …".
  std::vector<std::string> warnings;
};

}  // namespace tokend::config
