#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/config/fixture.h"

// What an operator is told, to the letter: each case is kMinimal (fixture.h) with one edit.
namespace tokend::config {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::Not;

struct Case {
  std::string name;
  std::string find;
  std::string replace;
  std::vector<std::string> errors;  // without "t.yaml:"; LINE:COLUMN: error: …

  friend void PrintTo(const Case& edit, std::ostream* out) { *out << edit.name; }
};

class ConfigErrorTest : public testing::TestWithParam<Case> {};

TEST_P(ConfigErrorTest, NamesPlaceAndFault) {
  const Folder folder;
  const Case& edit = GetParam();
  const std::string text = Folder::Replace(std::string(kMinimal), edit.find, edit.replace);
  ASSERT_NE(text, kMinimal);
  std::vector<std::string> expected;
  for (const std::string& error : edit.errors) expected.push_back("t.yaml:" + error);
  const LoadResult result = folder.Parse(text);
  EXPECT_THAT(result.errors, ElementsAreArray(expected));
  EXPECT_FALSE(result.config);
}

std::string NameOf(const testing::TestParamInfo<Case>& info) { return info.param.name; }

const char* const kListenerName = "name: edge";
const char* const kAddress = "unix:///run/t.sock";
const char* const kNone = "{none: {caller: dev}}";
const char* const kKey = "{file: $DIR/api_key}";
const char* const kScopes = "scopes: [sdk]";
const char* const kStdout = "stdout: {}";

INSTANTIATE_TEST_SUITE_P(
    Keys, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"UnknownNearAKnownOne",
             "address:",
             "adress:",
             {"3:5: error: listeners[0]: unknown key \"adress\"; did you mean \"address\"?"}},
        Case{"UnknownNearAKnownOneAtTheTop",
             "audit:",
             "audti:",
             {"16:1: error: unknown key \"audti\"; did you mean \"audit\"?"}},
        Case{"UnknownAtTheTop", "audit:", "banana: 1\naudit:", {"16:1: error: unknown key \"banana\""}},
        Case{"UnknownThatMayBeASecret",
             kKey,
             "{\"AKIA.0/secret\": x}",
             {"9:9: error: upstream.applivery.organizations[0].api_key: needs exactly one of file, env, "
              "credential",
              "9:19: error: upstream.applivery.organizations[0].api_key: unknown key"}},
        Case{"MergeKey",
             kListenerName,
             "name: edge\n    <<: {a: 1}",
             {"3:5: error: merge keys are not accepted: write the keys out"}},
        Case{"GivenTwice",
             kListenerName,
             "name: edge\n    name: other",
             {"3:5: error: listeners[0].name: is given twice, first on line 2"}},
        Case{"GivenTwiceAtTheTop",
             "audit:",
             "policy: {grants: []}\naudit:",
             {"16:1: error: policy: is given twice, first on line 10"}},
        Case{"Null", kListenerName, "name:", {"2:5: error: listeners[0].name: has no value"}},
        Case{"NullWord", "[sdk]", "~", {"15:7: error: policy.grants[0].scopes: has no value"}},
        Case{"NullMapping", kStdout, "stdout:", {"17:3: error: audit.stdout: has no value"}},
        Case{"NullItem", "[dev]", "[dev, ~]", {"13:22: error: policy.grants[0].callers[1]: has no value"}},
        Case{"MissingInAnItem",
             "      callers: [dev]\n",
             "",
             {"12:7: error: policy.grants[0].callers: is required"}},
        Case{"MissingInAMapping", kStdout, "file: {keep: 3}", {"17:3: error: audit.file.path: is required"}},
        Case{"MissingAtTheTop", "audit:\n  stdout: {}\n", "", {"1:1: error: audit: is required"}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Types, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"TextForMapping", kStdout, "stdout: yes", {"17:11: error: audit.stdout: must be a mapping"}},
        Case{"ListForMapping", kStdout, "stdout: []", {"17:11: error: audit.stdout: must be a mapping"}},
        Case{"MappingForText",
             kListenerName,
             "name:\n      a: b",
             {"3:7: error: listeners[0].name: must be a single value"}},
        Case{"MappingForTextByMissingQuotes",
             "applications:",
             "description: {caller}\n      applications:",
             {"14:20: error: policy.grants[0].description: must be a single value; put it in quotes if it is "
              "a "
              "text"}},
        Case{"MappingForNumber",
             "audit:",
             "server: {max_in_flight: {}}\naudit:",
             {"16:25: error: server.max_in_flight: must be a single value"}},
        Case{"TextForList", "[dev]", "dev", {"13:16: error: policy.grants[0].callers: must be a list"}},
        Case{"MappingForList",
             "[dev]",
             "{dev: 1}",
             {"13:16: error: policy.grants[0].callers: must be a list"}},
        Case{"TextForNumber",
             "audit:",
             "server: {max_in_flight: many}\naudit:",
             {"16:25: error: server.max_in_flight: must be a whole number, without quotes"}},
        Case{"QuotedNumber",
             "audit:",
             "server: {max_in_flight: \"9\"}\naudit:",
             {"16:25: error: server.max_in_flight: must be a whole number, without quotes"}},
        Case{"Fraction",
             "audit:",
             "server: {max_in_flight: 1.5}\naudit:",
             {"16:25: error: server.max_in_flight: must be a whole number, without quotes"}},
        Case{"TextForBoolean",
             "    organizations:",
             "    allow_http: yes\n    organizations:",
             {"7:17: error: upstream.applivery.allow_http: must be true or false, without quotes"}},
        Case{"WordForEnumeration",
             "audit:",
             "log: {level: warnin}\naudit:",
             {"16:14: error: log.level: must be one of trace, debug, info, warning, error; did you mean "
              "\"warning\"?"}},
        Case{"FarWordForEnumeration",
             "audit:",
             "log: {format: xml}\naudit:",
             {"16:15: error: log.format: must be one of json, text"}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Bounds, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"DurationWithoutUnit",
             "audit:",
             "server: {drain: 20}\naudit:",
             {"16:17: error: server.drain: must be a duration such as 250ms, 30s, 10m or 24h"}},
        Case{"DurationTooShort",
             "audit:",
             "server: {drain: 0s}\naudit:",
             {"16:17: error: server.drain: must be from 1ms to 1h"}},
        Case{"DurationThatOverflows",
             "audit:",
             "server: {drain: 99999999999999999999h}\naudit:",
             {"16:17: error: server.drain: must be from 1ms to 1h"}},
        Case{"SizeWithoutUnit",
             kStdout,
             "file: {path: a, max_size: 100000}",
             {"17:29: error: audit.file.max_size: must be a size such as 64KiB, 256MiB or 1GiB"}},
        Case{"SizeTooSmall",
             kStdout,
             "file: {path: a, max_size: 1KiB}",
             {"17:29: error: audit.file.max_size: must be from 16KiB to 1024GiB"}},
        Case{"NumberTooSmall",
             "audit:",
             "requests: {max_entries: 0}\naudit:",
             {"16:25: error: requests.max_entries: must be from 1 to 10000000"}},
        Case{"NumberThatOverflows",
             "audit:",
             "requests: {max_entries: 18446744073709551617}\naudit:",
             {"16:25: error: requests.max_entries: must be from 1 to 10000000"}},
        Case{"EmptyList", "[dev]", "[]", {"13:7: error: policy.grants[0].callers: must not be empty"}},
        Case{"ListTooLong",
             "[sdk]",
             "[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]",
             {"15:7: error: policy.grants[0].scopes: has more than 16 items"}},
        Case{"EmptyText", kListenerName, "name: \"\"", {"2:11: error: listeners[0].name: must not be empty"}},
        Case{"ControlCharacter",
             "applications:",
             "description: \"a\\nb\"\n      applications:",
             {"14:20: error: policy.grants[0].description: must not hold control characters"}},
        Case{"LineSeparatorByAnEscape",
             "applications:",
             "description: \"a\\Lb\"\n      applications:",
             {"14:20: error: policy.grants[0].description: must not hold U+2028, U+2029, U+FEFF, U+FFFE or "
              "U+FFFF"}},
        Case{"SameItemTwice",
             "[sdk]",
             "[sdk, sdk]",
             {"15:21: error: policy.grants[0].scopes[1]: is the same as policy.grants[0].scopes[0]"}},
        Case{"SameNameTwice",
             "policy:",
             "      - {name: acme, api_key: {env: K}}\npolicy:",
             {"10:16: error: upstream.applivery.organizations[1].name: is the same as "
              "upstream.applivery.organizations[0].name"}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Choices, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"NoAuthentication",
             kNone,
             "{}",
             {"4:5: error: listeners[0].authentication: needs exactly one of unix, mtls, jwt, none"}},
        Case{"TwoAuthentications",
             "{none: {caller: dev}}",
             "{none: {caller: dev}, mtls: {}}",
             {"4:22: error: listeners[0].authentication.none: cannot stand beside mtls: give one of them",
              "4:43: error: listeners[0].authentication.mtls: needs tls with client_ca_file"}},
        Case{"NoUpstream",
             "upstream:\n  applivery:\n    organizations:\n      - name: acme\n        api_key: {file: "
             "$DIR/api_key}\n",
             "upstream: {}\n",
             {"5:1: error: upstream: needs exactly one of applivery, tokend"}},
        Case{"NoState",
             "audit:",
             "state: {}\naudit:",
             {"16:1: error: state: needs exactly one of memory, redis"}},
        Case{"TwoKeySources",
             kKey,
             "{env: A, credential: b}",
             {"9:27: error: upstream.applivery.organizations[0].api_key.credential: cannot stand beside env: "
              "give one "
              "of them"}},
        Case{"NoAudit",
             "audit:\n  stdout: {}",
             "audit: {}",
             {"16:1: error: audit: needs at least one of file, stdout"}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Listeners, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"NoneListeners",
             "listeners:\n  - name: edge\n    address: unix:///run/t.sock\n"
             "    authentication: {none: {caller: dev}}\n",
             "listeners: []\n",
             {"1:1: error: listeners: must not be empty"}},
        Case{"AddressWithoutPort",
             kAddress,
             "localhost",
             {"3:14: error: listeners[0].address: has no port: write host:port"}},
        Case{"RelativeSocket",
             kAddress,
             "unix://run/t.sock",
             {"3:14: error: listeners[0].address: a unix socket is written unix:///absolute/path"}},
        Case{"NoTlsOnTheNetwork",
             kAddress,
             "\"[::]:8443\"",
             {"3:14: error: listeners[0].address: needs tls: it is neither a unix socket nor a loopback "
              "address",
              "4:22: error: listeners[0].authentication.none: is accepted only on a unix socket or a "
              "loopback address"}},
        Case{"NoneOnTheNetworkWithTls",
             kAddress,
             "10.0.0.1:8443\n    tls: {certificate_file: $DIR/cert.pem, private_key_file: $DIR/key.pem}",
             {"5:22: error: listeners[0].authentication.none: is accepted only on a unix socket or a "
              "loopback address"}},
        Case{"MtlsWithoutTls",
             kNone,
             "{mtls: {}}",
             {"4:22: error: listeners[0].authentication.mtls: needs tls with client_ca_file"}},
        Case{"MtlsWithoutClientCa",
             kNone,
             "{mtls: {}}\n    tls: {certificate_file: $DIR/cert.pem, private_key_file: $DIR/key.pem}",
             {"4:22: error: listeners[0].authentication.mtls: needs tls with client_ca_file"}},
        Case{"SocketModeWithoutSocket",
             kAddress,
             "127.0.0.1:0\n    socket_mode: \"0660\"",
             {"4:18: error: listeners[0].socket_mode: is only for a unix socket"}},
        Case{"SocketModeAsYamlToolsWriteIt",
             kAddress,
             "unix:///run/t.sock\n    socket_mode: 432",
             {"4:18: error: listeners[0].socket_mode: must be four octal digits that begin with 0, such as "
              "\"0660\""}},
        Case{"CallerOfAnotherKind",
             "caller: dev",
             "caller: \"spiffe://example.org/ci\"",
             {"4:37: error: listeners[0].authentication.none.caller: must not begin with spiffe://, which "
              "another kind "
              "of authentication makes"}},
        Case{"SameAddressTwice",
             "upstream:",
             "  - {name: two, address: \"unix:///run/t.sock\", authentication: {none: {caller: "
             "dev}}}\nupstream:",
             {"5:26: error: listeners[1].address: is the same as listeners[0].address"}},
        Case{"MissingCertificate",
             kAddress,
             "127.0.0.1:1\n    tls: {certificate_file: /nowhere/a.pem, private_key_file: /nowhere/b.pem}",
             {"4:29: error: listeners[0].tls.certificate_file: the file cannot be read: No such file or "
              "directory",
              "4:63: error: listeners[0].tls.private_key_file: the file cannot be read: No such file or "
              "directory"}},
        Case{"AdminOnASocket",
             "audit:",
             "admin: {address: \"unix:///run/admin\"}\naudit:",
             {"16:18: error: admin.address: must be host:port"}}}),
    NameOf);

// What stands at 4:29 of kMinimal.
std::string Jwt(const std::string& members) {
  return "{jwt: {issuer: \"https://i\", audience: a, " + members + "}}";
}

INSTANTIATE_TEST_SUITE_P(
    Authentication, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"UnixOffAUnixSocket",
             "unix:///run/t.sock\n    authentication: {none: {caller: dev}}",
             "127.0.0.1:1\n    authentication: {unix: {callers: [{uid: 7, name: \"unix:a\"}]}}",
             {"4:22: error: listeners[0].authentication.unix: is only for a unix socket"}},
        Case{"UnixCallerOfAnotherKind",
             kNone,
             "{unix: {callers: [{uid: 7, name: \"unix:a\"}, {uid: 8, name: b}, {uid: 9, name: \"unix:\"}]}}",
             {"4:80: error: listeners[0].authentication.unix.callers[1].name: must begin with unix: and "
              "have a name after it",
              "4:99: error: listeners[0].authentication.unix.callers[2].name: must begin with unix: and "
              "have a name after it"}},
        Case{"UnixCallerTwice",
             kNone,
             "{unix: {callers: [{uid: 7, name: \"unix:a\"}, {uid: 7, name: \"unix:a\"}]}}",
             {"4:71: error: listeners[0].authentication.unix.callers[1].uid: is the same as "
              "listeners[0].authentication.unix.callers[0].uid",
              "4:80: error: listeners[0].authentication.unix.callers[1].name: is the same as "
              "listeners[0].authentication.unix.callers[0].name"}},
        Case{"UnixUidOfNobody",
             kNone,
             "{unix: {callers: [{uid: 4294967295, name: \"unix:a\"}]}}",
             {"4:45: error: listeners[0].authentication.unix.callers[0].uid: must be from 0 to 4294967294"}},
        Case{"UnixWithoutCallers",
             kNone,
             "{unix: {callers: []}}",
             {"4:29: error: listeners[0].authentication.unix.callers: must not be empty"}},
        Case{"JwtWithoutKeys",
             kNone,
             "{jwt: {issuer: i, audience: a}}",
             {"4:22: error: listeners[0].authentication.jwt: needs exactly one of jwks_file, jwks_url"}},
        Case{"JwtWithoutIssuer",
             kNone,
             "{jwt: {audience: a, jwks_file: $DIR/jwks.json}}",
             {"4:22: error: listeners[0].authentication.jwt.issuer: is required"}},
        Case{"JwksFileThatIsNotThere",
             kNone,
             Jwt("jwks_file: /nowhere/keys"),
             {"4:73: error: listeners[0].authentication.jwt.jwks_file: the file cannot be read: No such file "
              "or "
              "directory"}},
        Case{"JwksUrlOverHttp",
             kNone,
             Jwt("jwks_url: \"http://issuer.example/keys\""),
             {"4:72: error: listeners[0].authentication.jwt.jwks_url: must begin with https://"}},
        Case{"JwksUrlWithAUser",
             kNone,
             Jwt("jwks_url: \"https://me:secret@issuer.example/keys\""),
             {"4:72: error: listeners[0].authentication.jwt.jwks_url: must not hold a user or a password"}},
        Case{"JwksUrlWithAFragmentInItsQuery",
             kNone,
             Jwt("jwks_url: \"https://issuer.example/keys?a#b\""),
             {"4:72: error: listeners[0].authentication.jwt.jwks_url: the query may hold what RFC 3986 lets "
              "stand "
              "in one, and must not be empty"}},
        Case{"JwksTokenWithoutUrl",
             kNone,
             Jwt("jwks_token_file: $DIR/api_key, jwks_file: $DIR/jwks.json"),
             {"4:79: error: listeners[0].authentication.jwt.jwks_token_file: is only for jwks_url"}},
        Case{"JwksCaWithoutUrl",
             kNone,
             Jwt("jwks_ca_file: $DIR/ca.pem, jwks_file: $DIR/jwks.json"),
             {"4:76: error: listeners[0].authentication.jwt.jwks_ca_file: is only for jwks_url"}},
        Case{"JwtCallerWithOtherBraces",
             kNone,
             Jwt("caller: \"a{sub\", jwks_file: $DIR/jwks.json"),
             {"4:70: error: listeners[0].authentication.jwt.caller: braces stand only around a claim, such "
              "as {sub} or {/kubernetes.io/namespace}"}},
        Case{"JwtCallerWithoutAClaim",
             kNone,
             Jwt("caller: sub, jwks_file: $DIR/jwks.json"),
             {"4:70: error: listeners[0].authentication.jwt.caller: must name a claim of the token, such as "
              "{sub}"}},
        Case{"JwtCallerThatIsEmpty",
             kNone,
             Jwt("caller: \"\", jwks_file: $DIR/jwks.json"),
             {"4:70: error: listeners[0].authentication.jwt.caller: must not be empty"}},
        Case{"JwtCallerOfAnotherKind",
             kNone,
             Jwt("caller: \"dns:{sub}\", jwks_file: $DIR/jwks.json"),
             {"4:70: error: listeners[0].authentication.jwt.caller: must not begin with dns:, which another "
              "kind of authentication makes"}},
        Case{"JwtCallerOfAnotherTrustDomain",
             kNone,
             Jwt("trust_domain: a.example, caller: \"spiffe://b.example/{sub}\", jwks_file: $DIR/jwks.json"),
             {"4:95: error: listeners[0].authentication.jwt.caller: must not begin with spiffe://, which "
              "another kind of authentication makes"}},
        Case{"TrustDomainAsAnId",
             kNone,
             Jwt("trust_domain: \"spiffe://a.example\", jwks_file: $DIR/jwks.json"),
             {"4:76: error: listeners[0].authentication.jwt.trust_domain: must be a trust domain's name, 1 "
              "to 255 of [a-z0-9._-]"}},
        Case{"JwtOnTheNetworkWithoutTls",
             "unix:///run/t.sock\n    authentication: {none: {caller: dev}}",
             "10.0.0.1:1\n    authentication: " + Jwt("jwks_file: $DIR/jwks.json"),
             {"3:14: error: listeners[0].address: needs tls: it is neither a unix socket nor a loopback "
              "address"}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Upstream, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"Http",
             "    organizations:",
             "    base_url: http://api.applivery.io\n    organizations:",
             {"7:15: error: upstream.applivery.base_url: must begin with https:// (http:// needs allow_http: "
              "true)"}},
        Case{"UserInTheUrl",
             "    organizations:",
             "    base_url: https://me:secret@api.applivery.io\n    organizations:",
             {"7:15: error: upstream.applivery.base_url: must not hold a user or a password"}},
        Case{"UserInTheProxy",
             "    organizations:",
             "    proxy: http://me:secret@proxy.corp:3128\n    organizations:",
             {"7:12: error: upstream.applivery.proxy: must not hold a user or a password"}},
        Case{"OrganizationForm",
             "name: acme",
             "name: a/cme",
             {"8:15: error: upstream.applivery.organizations[0].name: must be 24 hex digits, or 3 to 128 of "
              "[A-Za-z0-9-]"}},
        Case{"KeyAsText",
             kKey,
             "very-secret",
             {"9:18: error: upstream.applivery.organizations[0].api_key: must be a mapping"}},
        Case{"KeyFileMissing",
             kKey,
             "{file: /nowhere/key}",
             {"9:25: error: upstream.applivery.organizations[0].api_key.file: the file cannot be read: No "
              "such file or "
              "directory"}},
        Case{"KeyFileThatOthersMayRead",
             kKey,
             "{file: $DIR/cert.pem}",
             {"9:25: error: upstream.applivery.organizations[0].api_key.file: the file may be read by "
              "others: chmod o-r"}},
        Case{"FingerprintKeyTooShort",
             kStdout,
             "stdout: {}\n  fingerprint_key_file: $DIR/api_key",
             {"18:25: error: audit.fingerprint_key_file: the file must hold at least 32 bytes"}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Policy, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"PatternWithoutLiteral",
             "[dev]",
             "[\"**\"]",
             {"13:17: error: policy.grants[0].callers[0]: a pattern needs a literal part: this one matches "
              "nearly every "
              "name"}},
        Case{"UnknownOrganization",
             "applications:",
             "organizations: [acme, umbrella]\n      applications:",
             {"14:29: error: policy.grants[0].organizations[1]: is not a configured organization"}},
        Case{"UnknownOrganizationNearAKnownOne",
             "applications:",
             "organizations: [Amce]\n      applications:",
             {"14:23: error: policy.grants[0].organizations[0]: is not a configured organization; did you "
              "mean "
              "\"acme\"?"}},
        Case{"EmptyOrganizations",
             "applications:",
             "organizations: []\n      applications:",
             {"14:7: error: policy.grants[0].organizations: must not be empty"}},
        Case{"ApplicationThatCannotBe",
             "ios-app",
             "ios_*",
             {"14:22: error: policy.grants[0].applications[0]: no name matches this: names consist of 3 to "
              "128 of "
              "[A-Za-z0-9-]"}},
        Case{"ScopeForm",
             "[sdk]",
             "[\"s k\"]",
             {"15:16: error: policy.grants[0].scopes[0]: must be 1 to 64 of [A-Za-z0-9._:-]"}},
        Case{"DefaultScopeBeyondScopes",
             kScopes,
             "scopes: [sdk]\n      default_scopes: [sdk, all]",
             {"16:29: error: policy.grants[0].default_scopes[1]: is not one of the grant's scopes"}},
        Case{"DefaultScopeNearAScope",
             kScopes,
             "scopes: [sdk, \"build:Read\"]\n      default_scopes: [\"bulid:read\"]",
             {"16:24: error: policy.grants[0].default_scopes[0]: is not one of the grant's scopes; did you "
              "mean "
              "\"build:Read\"?"}},
        Case{"LimitKeys",
             kScopes,
             "scopes: [sdk]\n      limits: [{name: hour, tokns: 10, per: 1}]",
             {"16:29: error: policy.grants[0].limits[0]: unknown key \"tokns\"; did you mean \"tokens\"?",
              "16:45: error: policy.grants[0].limits[0].per: must be a duration such as 250ms, 30s, 10m or "
              "24h"}},
        Case{"LimitNumbersAndNames",
             kScopes,
             "scopes: [sdk]\n      limits: [{name: a, tokens: 0, per: 1s}, {name: a, tokens: 1, per: 721h}]",
             {"16:34: error: policy.grants[0].limits[0].tokens: must be from 1 to 1000000000",
              "16:54: error: policy.grants[0].limits[1].name: is the same as policy.grants[0].limits[0].name",
              "16:73: error: policy.grants[0].limits[1].per: must be from 1ms to 720h"}},
        Case{"UnknownPlaceholder",
             "applications:",
             "description: \"{user}\"\n      applications:",
             {"14:20: error: policy.grants[0].description: braces stand only in {description}, {caller}, "
              "{request_id} and {on_behalf_of}"}}}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    State, ConfigErrorTest,
    testing::ValuesIn(std::vector<Case>{
        Case{"RedisKeys",
             "audit:",
             "state:\n  redis:\n    address: \"redis:0\"\n    encryption_key_file: /nowhere\naudit:",
             {"18:14: error: state.redis.address: the port must be a number from 1 to 65535",
              "19:26: error: state.redis.encryption_key_file: the file cannot be read: No such file or "
              "directory"}},
        Case{"RedisUserWithoutPassword",
             "audit:",
             "state:\n  redis: {address: \"unix:///r\", username: me, encryption_key_file: "
             "$DIR/redis_key}\naudit:",
             {"17:43: error: state.redis.username: needs password_file"}},
        Case{"RedisKeyOfAnotherSize",
             "audit:",
             "state:\n  redis: {address: \"redis:1\", encryption_key_file: $DIR/api_key}\naudit:",
             {"17:52: error: state.redis.encryption_key_file: the file must hold at least 32 bytes"}},
        Case{"RedisTlsWithHalfAnIdentity",
             "audit:",
             "state:\n  redis:\n    address: \"redis:1\"\n    encryption_key_file: $DIR/redis_key\n"
             "    tls: {certificate_file: $DIR/cert.pem}\naudit:",
             {"20:5: error: state.redis.tls: certificate_file and private_key_file are given together, or "
              "neither"}},
        Case{"RedisTlsOnAUnixSocket",
             "audit:",
             "state:\n  redis:\n    address: \"unix:///r\"\n    encryption_key_file: $DIR/redis_key\n"
             "    tls: {}\naudit:",
             {"20:5: error: state.redis.tls: a unix socket has no TLS: give an address with host and port"}},
        Case{"TwoHomes",
             "audit:",
             "state:\n  memory: {}\n  redis: {address: \"redis:1\", encryption_key_file: "
             "$DIR/redis_key}\naudit:",
             {"18:3: error: state.redis: cannot stand beside memory: give one of them"}}}),
    NameOf);

TEST(ConfigErrors, AreAllReportedInTheOrderOfTheFile) {
  const Folder folder;
  std::string text = Folder::Replace(std::string(kMinimal), "address:", "adress:");
  text = Folder::Replace(text, "[sdk]", "[]");
  text = Folder::Replace(text, "name: acme", "nam: acme");
  EXPECT_THAT(folder.Parse(text).errors,
              testing::ElementsAre(HasSubstr("t.yaml:3:5: error:"), HasSubstr("t.yaml:8:9: error:"),
                                   HasSubstr("t.yaml:15:7: error:")));
}

TEST(ConfigErrors, PointAtTheRightItemAfterAWrongOne) {
  const Folder folder;
  const std::string text = Folder::Replace(std::string(kMinimal), "scopes: [sdk]",
                                           "scopes: [sdk]\n      default_scopes: [\"s k\", ~, {}, all]\n"
                                           "      organizations: [a/b, umbrella]");
  EXPECT_THAT(
      folder.Parse(text).errors,
      testing::ElementsAre(HasSubstr("t.yaml:16:24: error: policy.grants[0].default_scopes[0]: must be"),
                           HasSubstr("default_scopes[1]: has no value"),
                           HasSubstr("t.yaml:16:34: error: policy.grants[0].default_scopes[2]: must be"),
                           HasSubstr("t.yaml:16:38: error: policy.grants[0].default_scopes[3]: is not one"),
                           HasSubstr("t.yaml:17:23: error: policy.grants[0].organizations[0]: must be"),
                           HasSubstr("t.yaml:17:28: error: policy.grants[0].organizations[1]: is not a")));
}

TEST(ConfigErrors, SayNothingTwice) {
  const Folder folder;
  const auto errors_of = [&](std::string_view find, std::string_view replace) {
    return folder.Parse(Folder::Replace(std::string(kMinimal), find, replace)).errors;
  };
  // A key that is written wrongly is not missing as well, nor given twice beside the right one.
  EXPECT_EQ(errors_of("    address: unix:///run/t.sock", "    address: 0.0.0.0:1\n    tsl: {}").size(), 2U);
  EXPECT_EQ(errors_of("name: edge", "name: edge\n    nam: other").size(), 1U);
  EXPECT_EQ(errors_of("{none:", "{noen:").size(), 1U);
}

TEST(ConfigErrors, QuoteNoValue) {
  const Folder folder;
  for (const std::string_view find :
       {"edge", "unix:///run/t.sock", "acme", "{file: $DIR/api_key}", "ios-app", "sdk"}) {
    const LoadResult result = folder.Parse(Folder::Replace(std::string(kMinimal), find, "\"very/secret {\""));
    ASSERT_FALSE(result.errors.empty()) << find;
    for (const std::string& error : result.errors) EXPECT_THAT(error, Not(HasSubstr("secret"))) << find;
  }
}

TEST(ConfigErrors, AreBounded) {
  const Folder folder;
  std::string text(kMinimal);
  for (int i = 0; i < 1500; ++i) text += "unknown" + std::to_string(i) + ": 1\n";
  const LoadResult result = folder.Parse(text);
  ASSERT_EQ(result.errors.size(), 1001U);
  EXPECT_EQ(result.errors.back(), "t.yaml:1018:1: error: 500 more from here on");
}

TEST(ConfigErrors, StandBesideWarnings) {
  const Folder folder;
  const LoadResult result = folder.Parse(Folder::Replace(std::string(kMinimal), "[sdk]", "[]"));
  EXPECT_EQ(result.errors.size(), 1U);
  EXPECT_EQ(result.warnings.size(), 3U);
}

}  // namespace
}  // namespace tokend::config
