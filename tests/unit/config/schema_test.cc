#include "daemon/config/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <sstream>

#include "daemon/config/values.h"
#include "tests/unit/config/fixture.h"

// The schema as a whole: no key without a bound, none that does nothing, none that is silently ignored.
namespace tokend::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using testing::IsEmpty;

using Visit = std::function<void(const std::string& path, const FieldDescriptor&)>;

// Every key, once, by its path without indexes.
void Walk(const Descriptor& type, const std::string& above, const Visit& visit) {
  for (const FieldDescriptor* field : FieldsOf(type)) {
    const std::string path = above.empty() ? field->name() : above + "." + field->name();
    visit(path, *field);
    if (field->message_type() != nullptr) Walk(*field->message_type(), path, visit);
  }
}
void Walk(const Visit& visit) { Walk(*v1::Config::descriptor(), "", visit); }

bool IsNumber(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32 ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64 ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_INT64;
}

TEST(Schema, BoundsEveryNumber) {
  Walk([](const std::string& path, const FieldDescriptor& field) {
    const v1::KeyOptions& options = OptionsOf(field);
    if (!IsNumber(field) || options.form() == v1::FORM_MODE) return;
    const auto least = ParseQuantity(options.form(), options.min());
    const auto most = ParseQuantity(options.form(), options.max());
    ASSERT_TRUE(least && most) << path;
    EXPECT_LT(*least, *most) << path;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      EXPECT_LE(*most, 0xFFFFFFFFU) << path;
    }
  });
}

TEST(Schema, BoundsEveryList) {
  Walk([](const std::string& path, const FieldDescriptor& field) {
    if (!field.is_repeated()) return;
    EXPECT_GT(OptionsOf(field).max_items(), 0U) << path;
  });
}

TEST(Schema, TellsPresenceOfEveryKey) {
  Walk([](const std::string& path, const FieldDescriptor& field) {
    EXPECT_TRUE(field.is_repeated() || field.has_presence()) << path;
  });
}

// A configuration in use keeps no policy for a reload to compare with.
TEST(Schema, FixesNoKeyOfThePolicyAtTheStart) {
  Walk([](const std::string& path, const FieldDescriptor& field) {
    EXPECT_FALSE(path.starts_with("policy") && OptionsOf(field).at_start()) << path;
  });
}

TEST(Schema, RequiresNoKeyThatHasADefault) {
  Walk([](const std::string& path, const FieldDescriptor& field) {
    EXPECT_FALSE(OptionsOf(field).required() && !OptionsOf(field).default_value().empty()) << path;
  });
}

void DescribeTo(std::ostream& out, const NoAuthentication& none) { out << "none " << none.caller; }
void DescribeTo(std::ostream& out, const MtlsAuthentication&) { out << "mtls"; }
void DescribeTo(std::ostream& out, const UnixAuthentication& by_uid) {
  for (const UnixCaller& caller : by_uid.callers) out << caller.uid << "=" << caller.name << ";";
}
void DescribeTo(std::ostream& out, const JwtAuthentication& jwt) {
  out << jwt.issuer << ";" << jwt.audience << ";" << jwt.caller_template << ";" << jwt.trust_domain << ";";
  if (const auto* file = std::get_if<JwksFile>(&jwt.jwks)) out << "file " << file->path;
  if (const auto* url = std::get_if<JwksUrl>(&jwt.jwks)) {
    out << "url " << url->url << ";" << url->ca_file << ";" << url->token_file;
  }
}

void DescribeTo(std::ostream& out, const ClientTls& tls) {
  out << tls.ca_file << ";" << tls.certificate_file << ";" << tls.private_key_file << "\n";
}

void DescribeTo(std::ostream& out, const Applivery& applivery) {
  out << applivery.base_url << ";" << applivery.allow_http << ";" << applivery.ca_file << ";"
      << applivery.connect_timeout.count() << ";" << applivery.timeout.count() << ";"
      << applivery.max_in_flight << ";" << applivery.proxy << ";" << applivery.connection_max_requests << ";"
      << applivery.connection_max_age.count() << ";" << applivery.connection_max_idle.count() << ";"
      << applivery.max_response_size << "\n";
}

void DescribeTo(std::ostream& out, const TokendUpstream& tokend) {
  out << ToString(tokend.address) << ";" << tokend.plaintext << ";" << tokend.server_name << ";"
      << tokend.token_file << ";" << tokend.timeout.count() << ";" << tokend.max_in_flight << ";";
  DescribeTo(out, tokend.tls);
}

// What the parts of the daemon get, in full.
std::string Describe(const Config& config) {
  std::ostringstream out;
  const auto list = [&](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) out << text << ",";
    out << ";";
  };
  const auto limits = [&](const std::vector<Limit>& all) {
    for (const Limit& limit : all) {
      out << limit.name << " " << limit.tokens << " " << limit.per.count() << " " << limit.burst << ",";
    }
    out << ";";
  };
  for (const Listener& listener : config.listeners) {
    out << listener.name << ";" << ToString(listener.address) << ";" << listener.socket_mode << ";";
    const ServerTls tls = listener.tls.value_or(ServerTls{});
    out << listener.tls.has_value() << tls.certificate_file << ";" << tls.private_key_file << ";"
        << tls.client_ca_file << ";";
    std::visit([&out](const auto& authentication) { DescribeTo(out, authentication); },
               listener.authentication);
    out << ";" << listener.max_connections_per_peer.value_or(0) << "\n";
  }
  std::visit([&out](const auto& upstream) { DescribeTo(out, upstream); }, config.upstream);
  for (const Organization& organization : config.organizations) {
    out << organization.name << ";";
    if (organization.api_key) {
      const ApiKeySource& source = *organization.api_key;
      out << source.index();
      if (const auto* file = std::get_if<KeyFile>(&source)) out << file->path;
      if (const auto* env = std::get_if<KeyEnvironment>(&source)) out << env->variable;
      if (const auto* credential = std::get_if<KeyCredential>(&source)) out << credential->name;
    }
    limits(organization.limits);
    out << "\n";
  }
  for (const Grant& grant : config.grants) {
    out << grant.name << ";" << grant.description_template << ";";
    list(grant.callers);
    list(grant.organizations);
    list(grant.applications);
    list(grant.scopes);
    list(grant.default_scopes);
    limits(grant.limits);
    limits(grant.shared_limits);
    out << grant.max_in_flight.value_or(0) << "\n";
  }
  if (const auto* redis = std::get_if<RedisState>(&config.state)) {
    out << "redis " << ToString(redis->address) << ";" << redis->username << ";" << redis->password_file
        << ";" << redis->encryption_key_file << ";" << static_cast<int>(redis->on_failure) << "\n";
    out << redis->tls.has_value();
    DescribeTo(out, redis->tls.value_or(ClientTls{}));
  }
  out << config.requests.remember.count() << ";" << config.requests.max_entries << "\n";
  const AuditFile file = config.audit.file.value_or(AuditFile{});
  out << config.audit.file.has_value() << file.path << ";" << file.max_size << ";" << file.keep << ";"
      << config.audit.to_stdout << ";" << config.audit.deadline.count() << ";"
      << config.audit.signing_key_file << " " << config.audit.fingerprint_key_file << "\n";
  out << config.server.max_in_flight << ";" << config.server.drain_delay.count() << ";"
      << config.server.drain.count() << "\n";
  out << (config.admin ? ToString(*config.admin) : "") << "\n";
  out << static_cast<int>(config.log.level) << ";" << static_cast<int>(config.log.format);
  return out.str();
}

// For each key that holds a value: an edit that changes it alone, of kRelay for a key of its upstream, and
// else of kFull.
const std::map<std::string, std::pair<std::string, std::string>>& Edits() {
  static const std::map<std::string, std::pair<std::string, std::string>> kEdits = {
      {"listeners.name", {"name: pod", "name: pod2"}},
      {"listeners.address", {"tokend.sock", "other.sock"}},
      {"listeners.socket_mode", {"0600", "0666"}},
      {"listeners.tls.certificate_file",
       {"certificate_file: $DIR/cert.pem", "certificate_file: $DIR/ca.pem"}},
      {"listeners.tls.private_key_file",
       {"private_key_file: $DIR/key.pem", "private_key_file: $DIR/api_key"}},
      {"listeners.tls.client_ca_file", {"client_ca_file: $DIR/ca.pem", "client_ca_file: $DIR/cert.pem"}},
      {"listeners.max_connections_per_peer", {"max_connections_per_peer: 7", "max_connections_per_peer: 8"}},
      {"listeners.authentication.mtls", {"mtls: {}", "none: {caller: dev}"}},
      {"listeners.authentication.none.caller", {"caller: dev", "caller: other"}},
      {"listeners.authentication.unix.callers.uid", {"uid: 1001", "uid: 1002"}},
      {"listeners.authentication.unix.callers.name", {"unix:billing", "unix:bills"}},
      {"listeners.authentication.jwt.issuer", {"issuer: https://kube", "issuer: https://k"}},
      {"listeners.authentication.jwt.audience", {"audience: tokend\n", "audience: other\n"}},
      {"listeners.authentication.jwt.jwks_file", {"jwks_file: $DIR/jwks.json", "jwks_file: $DIR/ca.pem"}},
      {"listeners.authentication.jwt.jwks_url", {"v1/jwks", "v2/jwks"}},
      {"listeners.authentication.jwt.jwks_ca_file",
       {"jwks_ca_file: $DIR/ca.pem", "jwks_ca_file: $DIR/cert.pem"}},
      {"listeners.authentication.jwt.jwks_token_file",
       {"jwks_token_file: $DIR/api_key", "jwks_token_file: $DIR/key.pem"}},
      {"listeners.authentication.jwt.caller", {"        caller: \"k8s:{", "        caller: \"kube:{"}},
      {"listeners.authentication.jwt.trust_domain", {"cluster.local", "other.local"}},
      {"upstream.applivery.base_url", {":8080", ":8081"}},
      {"upstream.applivery.allow_http",
       {"http://[::1]:8080/api/\n    allow_http: true", "https://[::1]:8080/api/\n    allow_http: false"}},
      {"upstream.applivery.ca_file", {"    ca_file: $DIR/ca.pem\n", "    ca_file: $DIR/cert.pem\n"}},
      {"upstream.applivery.organizations.name", {"name: other", "name: other2"}},
      {"upstream.applivery.organizations.api_key.file", {"$DIR/api_key", "$DIR/key.pem"}},
      {"upstream.applivery.organizations.api_key.env", {"APPLIVERY_API_KEY", "OTHER"}},
      {"upstream.applivery.organizations.api_key.credential", {"other-key", "another-key"}},
      {"upstream.applivery.connect_timeout", {"250ms", "251ms"}},
      {"upstream.applivery.timeout", {"45s", "46s"}},
      {"upstream.applivery.max_in_flight", {"max_in_flight: 99", "max_in_flight: 98"}},
      {"upstream.applivery.proxy", {"proxy.corp:3128", "proxy.corp:3129"}},
      {"upstream.applivery.connection_max_requests", {"requests: 77", "requests: 78"}},
      {"upstream.applivery.connection_max_age", {"max_age: 5m", "max_age: 6m"}},
      {"upstream.applivery.connection_max_idle", {"3s", "2s"}},
      {"upstream.applivery.max_response_size", {"128KiB", "129KiB"}},
      {"upstream.tokend.address", {"central.svc:8443", "central.svc:8444"}},
      {"upstream.tokend.tls.ca_file", {"ca_file: $DIR/ca.pem", "ca_file: $DIR/cert.pem"}},
      {"upstream.tokend.tls.certificate_file",
       {"certificate_file: $DIR/cert.pem", "certificate_file: $DIR/ca.pem"}},
      {"upstream.tokend.tls.private_key_file",
       {"private_key_file: $DIR/key.pem", "private_key_file: $DIR/api_key"}},
      {"upstream.tokend.server_name", {"tokend.example", "192.0.2.1"}},
      {"upstream.tokend.token_file", {"$DIR/token", "$DIR/jwks.json"}},
      {"upstream.tokend.timeout", {"35s", "36s"}},
      {"upstream.tokend.max_in_flight", {"max_in_flight: 99", "max_in_flight: 98"}},
      {"policy.grants.name", {"mobile-ci", "mobile"}},
      {"policy.grants.callers", {"ci/*", "ci/**"}},
      {"policy.grants.organizations", {"[acme, \"oth*\"]", "[acme]"}},
      {"policy.grants.applications", {"android-*", "droid-*"}},
      {"policy.grants.scopes", {"other:scope", "other"}},
      {"policy.grants.default_scopes", {"default_scopes: [sdk]", "default_scopes: [\"other:scope\"]"}},
      {"upstream.applivery.organizations.limits.name", {"upstream-hourly", "hourly"}},
      {"upstream.applivery.organizations.limits.tokens", {"tokens: 10000", "tokens: 9999"}},
      {"upstream.applivery.organizations.limits.per", {"per: 1h", "per: 2h"}},
      {"upstream.applivery.organizations.limits.burst", {"burst: 200", "burst: 100"}},
      {"policy.grants.limits.name", {"name: minute", "name: min"}},
      {"policy.grants.limits.tokens", {"tokens: 300", "tokens: 301"}},
      {"policy.grants.limits.per", {"per: 24h", "per: 25h"}},
      {"policy.grants.limits.burst", {", burst: 5}", "}"}},
      {"policy.grants.shared_limits.name", {"name: together", "name: all"}},
      {"policy.grants.shared_limits.tokens", {"tokens: 50", "tokens: 51"}},
      {"policy.grants.shared_limits.per", {"per: 2m", "per: 3m"}},
      {"policy.grants.shared_limits.burst", {"burst: 25", "burst: 24"}},
      {"policy.grants.max_in_flight", {"      max_in_flight: 8\n", ""}},
      {"state.memory",
       {"redis:\n    address: redis:6379\n    username: tokend\n    password_file: $DIR/api_key\n"
        "    encryption_key_file: $DIR/redis_key\n    on_failure: local\n"
        "    tls: {ca_file: $DIR/ca.pem, certificate_file: $DIR/cert.pem, private_key_file: $DIR/key.pem}\n",
        "memory: {}\n"}},
      {"state.redis.address", {"redis:6379", "redis:6380"}},
      {"state.redis.username", {"username: tokend", "username: other"}},
      {"state.redis.password_file", {"password_file: $DIR/api_key", "password_file: $DIR/redis_key"}},
      {"state.redis.encryption_key_file", {"$DIR/redis_key", "$DIR/fingerprint_key"}},
      {"state.redis.on_failure", {"on_failure: local", "on_failure: deny"}},
      {"state.redis.tls.ca_file", {"tls: {ca_file: $DIR/ca.pem", "tls: {ca_file: $DIR/cert.pem"}},
      {"state.redis.tls.certificate_file",
       {"certificate_file: $DIR/cert.pem, private", "certificate_file: $DIR/ca.pem, private"}},
      {"state.redis.tls.private_key_file",
       {"private_key_file: $DIR/key.pem}\n", "private_key_file: $DIR/api_key}\n"}},
      {"policy.grants.description", {"} [{caller}", "} ({caller}"}},
      {"requests.remember", {"24h", "23h"}},
      {"requests.max_entries", {"5000", "5001"}},
      {"audit.file.path", {"audit.jsonl", "a.jsonl"}},
      {"audit.file.max_size", {"1MiB", "2MiB"}},
      {"audit.file.keep", {"keep: 7", "keep: 8"}},
      {"audit.stdout", {"  stdout: {}\n", ""}},
      {"audit.deadline", {"1500ms", "1501ms"}},
      {"audit.signing_key_file", {"  signing_key_file: $DIR/signing_key.pem\n", ""}},
      {"audit.fingerprint_key_file", {"  fingerprint_key_file: $DIR/fingerprint_key\n", ""}},
      {"server.max_in_flight", {"max_in_flight: 64", "max_in_flight: 65"}},
      {"server.drain_delay", {"drain_delay: 3s", "drain_delay: 4s"}},
      {"server.drain", {"90s", "91s"}},
      {"admin.address", {"9464", "9465"}},
      {"log.level", {"level: warning", "level: error"}},
      {"log.format", {"format: text", "format: json"}},
  };
  return kEdits;
}

// A value of its own, or a message whose presence is its value.
bool IsLeaf(const FieldDescriptor& field) {
  return field.message_type() == nullptr || field.message_type()->field_count() == 0;
}

TEST(Schema, HasNoKeyThatDoesNothing) {
  const Folder folder;
  Walk([&](const std::string& path, const FieldDescriptor& field) {
    if (!IsLeaf(field)) return;
    ASSERT_EQ(Edits().count(path), 1U) << path << ": no edit shows what the key does";
    const std::string whole(path.starts_with("upstream.tokend.") ? kRelay : kFull);
    const LoadResult before = folder.Parse(whole);
    ASSERT_THAT(before.errors, IsEmpty());
    const auto& [find, replace] = Edits().at(path);
    const std::string edited = Folder::Replace(whole, find, replace);
    ASSERT_NE(edited, whole) << path;
    const LoadResult after = folder.Parse(edited);
    ASSERT_THAT(after.errors, IsEmpty()) << path;
    EXPECT_NE(Describe(*after.config), Describe(*before.config)) << path << " does nothing";
    EXPECT_NE(after.config->fingerprint, before.config->fingerprint) << path << " is not printed";
  });
}

}  // namespace
}  // namespace tokend::config
