#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// The validated configuration: what is in one of these has been judged, so the parts that are built from it
// do not judge again. The keys and what they mean: proto/tokend/config/v1/config.proto.
namespace tokend::config {

// "unix:///path" or "host:port".
struct UnixAddress {
  std::string path;
};
struct TcpAddress {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
using Address = std::variant<UnixAddress, TcpAddress>;

// As it stands in the configuration: "unix:///run/t.sock", "127.0.0.1:8443", "[::1]:0".
std::string ToString(const Address& address);

struct ServerTls {
  std::string certificate_file;
  std::string private_key_file;
  std::string client_ca_file;  // empty: client certificates are not asked for
};

struct NoAuthentication {
  std::string caller;
};
struct MtlsAuthentication {};
using ListenerAuthentication = std::variant<NoAuthentication, MtlsAuthentication>;

struct Listener {
  std::string name;
  Address address;
  mode_t socket_mode = 0660;
  std::optional<ServerTls> tls;
  ListenerAuthentication authentication;
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
using KeySource = std::variant<KeyFile, KeyEnvironment, KeyCredential>;

struct Organization {
  std::string name;
  KeySource api_key;
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
};

struct Grant {
  std::string name;
  std::vector<std::string> callers;        // patterns
  std::vector<std::string> organizations;  // patterns; never empty: the default is resolved
  std::vector<std::string> applications;   // patterns
  std::vector<std::string> scopes;
  std::vector<std::string> default_scopes;  // never empty: the default is resolved
  std::string description_template = "{description}";
};

struct Requests {
  std::chrono::milliseconds remember{std::chrono::minutes(10)};
  std::size_t max_entries = 100000;
};

struct AuditFile {
  std::string path;
  std::uint64_t max_size = 256ULL << 20U;
  std::size_t keep = 30;
};
struct Audit {
  std::optional<AuditFile> file;
  bool to_stdout = false;
  std::chrono::milliseconds deadline{2000};
  std::string fingerprint_key_file;  // empty: a key made at start
};

struct Server {
  std::size_t max_in_flight = 1024;
  std::chrono::milliseconds drain{20000};
};

enum class LogLevel { kTrace, kDebug, kInfo, kWarning, kError };
enum class LogFormat { kJson, kText };
struct Log {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kJson;
};

struct Config {
  std::vector<Listener> listeners;
  Applivery applivery;
  std::vector<Grant> grants;
  Requests requests;
  Audit audit;
  Server server;
  std::optional<TcpAddress> admin;
  Log log;

  // What `tokend check --print` prints, and the first 16 hex digits of its SHA-256.
  std::string effective;
  std::string fingerprint;

  // What an operator should know and nothing is stopped by: "FILE:LINE:COLUMN: warning: …".
  std::vector<std::string> warnings;
};

}  // namespace tokend::config
