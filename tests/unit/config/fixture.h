#pragma once

#include <sys/stat.h>

#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "daemon/config/load.h"
#include "tests/fakes/temporary_folder.h"

namespace tokend::config {

// A folder with the files that the configurations below name. Gone at the end of the test.
class Folder {
 public:
  Folder() {
    Write("cert.pem", "certificate", 0644);
    Write("key.pem", "key", 0600);
    Write("ca.pem", "certificate", 0644);
    Write("api_key", "abc", 0440);
    Write("jwks.json", "{}", 0644);
    Write("fingerprint_key", std::string(32, 'k'), 0400);
    Write("redis_key", std::string(32, 'r'), 0400);
    Write("signing_key.pem", "key", 0400);
    Write("token", "token", 0644);
  }

  std::string Path(std::string_view name) const { return folder_ / std::string(name); }

  void Write(std::string_view name, std::string_view content, mode_t mode) const {
    std::ofstream(Path(name)) << content;
    if (chmod(Path(name).c_str(), mode) != 0) throw std::runtime_error("chmod");
  }

  // The text with this folder's path for each $DIR.
  std::string Fill(std::string_view text) const {
    return Replace(std::string(text), "$DIR", folder_.path().native());
  }

  LoadResult Parse(std::string_view text) const { return config::Parse(Fill(text), "t.yaml"); }

  static std::string Replace(std::string text, std::string_view what, std::string_view with) {
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
      text.replace(at, what.size(), with);
    }
    return text;
  }

 private:
  fakes::TemporaryFolder folder_;
};

// The least that is accepted.
inline constexpr std::string_view kMinimal = R"(listeners:
  - name: edge
    address: unix:///run/t.sock
    authentication: {none: {caller: dev}}
upstream:
  applivery:
    organizations:
      - name: acme
        api_key: {file: $DIR/api_key}
policy:
  grants:
    - name: ci
      callers: [dev]
      applications: [ios-app]
      scopes: [sdk]
audit:
  stdout: {}
)";

// A relay with every key of its upstream, none at its default.
inline constexpr std::string_view kRelay = R"(listeners:
  - name: edge
    address: unix:///run/t.sock
    authentication: {none: {caller: dev}}
upstream:
  tokend:
    address: central.svc:8443
    tls: {ca_file: $DIR/ca.pem, certificate_file: $DIR/cert.pem, private_key_file: $DIR/key.pem}
    server_name: tokend.example
    token_file: $DIR/token
    timeout: 35s
    max_in_flight: 99
policy:
  grants:
    - name: ci
      callers: [dev]
      organizations: [acme, other]
      applications: [ios-app]
      scopes: [sdk]
    - name: qa
      callers: [dev]
      organizations: [acme]
      applications: [qa-app]
      scopes: [sdk]
audit:
  stdout: {}
  fingerprint_key_file: $DIR/fingerprint_key
)";

// Every key but those of kRelay's upstream, none at its default.
inline constexpr std::string_view kFull = R"(listeners:
  - name: pod
    address: unix:///run/tokend/tokend.sock
    socket_mode: "0600"
    authentication:
      none: {caller: dev}
  - name: cluster
    address: 127.0.0.1:8443
    tls:
      certificate_file: $DIR/cert.pem
      private_key_file: $DIR/key.pem
      client_ca_file: $DIR/ca.pem
    authentication:
      mtls: {}
    max_connections_per_peer: 7
  - name: containers
    address: unix:///run/tokend/containers.sock
    authentication:
      unix: {callers: [{uid: 1000, name: "unix:checkout"}, {uid: 1001, name: "unix:billing"}]}
  - name: projected
    address: 127.0.0.1:8444
    authentication:
      jwt:
        issuer: https://kubernetes.default.svc
        audience: tokend
        jwks_url: https://kubernetes.default.svc/openid/v1/jwks?a=b
        jwks_ca_file: $DIR/ca.pem
        jwks_token_file: $DIR/api_key
        caller: "k8s:{/kubernetes.io/namespace}"
        trust_domain: cluster.local
  - name: offline
    address: 127.0.0.1:8445
    authentication:
      jwt: {issuer: "https://issuer.example", audience: tokend, jwks_file: $DIR/jwks.json, caller: "ci:{sub}"}
upstream:
  applivery:
    base_url: http://[::1]:8080/api/
    allow_http: true
    ca_file: $DIR/ca.pem
    organizations:
      - name: acme
        api_key: {file: $DIR/api_key}
      - name: 5e1000000000000000000001
        api_key: {env: APPLIVERY_API_KEY}
      - name: other
        api_key: {credential: other-key}
        limits:
          - {name: upstream-hourly, tokens: 10000, per: 1h, burst: 200}
    connect_timeout: 250ms
    timeout: 45s
    max_in_flight: 99
    proxy: http://proxy.corp:3128
    connection_max_requests: 77
    connection_max_age: 5m
    connection_max_idle: 3s
    max_response_size: 128KiB
policy:
  grants:
    - name: mobile-ci
      callers: ["spiffe://example.org/ci/*"]
      organizations: [acme, "oth*"]
      applications: [ios-app, "android-*"]
      scopes: [sdk, "other:scope"]
      default_scopes: [sdk]
      description: "{description} [{caller} {request_id}]"
      limits:
        - {name: minute, tokens: 10, per: 1m, burst: 5}
        - {name: day, tokens: 300, per: 24h}
      shared_limits: [{name: together, tokens: 50, per: 2m, burst: 25}]
      max_in_flight: 8
requests:
  remember: 24h
  max_entries: 5000
state:
  redis:
    address: redis:6379
    username: tokend
    password_file: $DIR/api_key
    encryption_key_file: $DIR/redis_key
    on_failure: local
    tls: {ca_file: $DIR/ca.pem, certificate_file: $DIR/cert.pem, private_key_file: $DIR/key.pem}
audit:
  file: {path: /var/log/tokend/audit.jsonl, max_size: 1MiB, keep: 7}
  stdout: {}
  deadline: 1500ms
  signing_key_file: $DIR/signing_key.pem
  fingerprint_key_file: $DIR/fingerprint_key
server:
  max_in_flight: 64
  drain_delay: 3s
  drain: 90s
admin:
  address: "127.0.0.1:9464"
log: {level: warning, format: text}
)";

}  // namespace tokend::config
