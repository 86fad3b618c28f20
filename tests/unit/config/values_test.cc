#include "daemon/config/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/nearest.h"
#include "daemon/config/units.h"

namespace tokend::config {
namespace {

using testing::Optional;

TEST(ParseDuration, TakesAWholeNumberAndAUnit) {
  EXPECT_THAT(ParseDuration("250ms"), Optional(250U));
  EXPECT_THAT(ParseDuration("30s"), Optional(30'000U));
  EXPECT_THAT(ParseDuration("10m"), Optional(600'000U));
  EXPECT_THAT(ParseDuration("24h"), Optional(86'400'000U));
  EXPECT_THAT(ParseDuration("0s"), Optional(0U));
}

TEST(ParseDuration, RefusesAllElse) {
  for (const std::string_view text : {"", "s", "30", "1.5s", "-1s", "+1s", " 1s", "1s ", "1 s", "01s", "1S",
                                      "1d", "1m30s", "1e3s", "0x1s", "ms", "１s"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

TEST(ParseDuration, SaturatesSoThatBoundsRefuseIt) {
  EXPECT_THAT(ParseDuration("9223372036854775807h"), Optional(kMaxNumber));
  EXPECT_THAT(ParseDuration("99999999999999999999999ms"), Optional(kMaxNumber));
}

TEST(FormatDuration, ParsesBackToTheSame) {
  for (const std::uint64_t value : {0U, 1U, 999U, 1000U, 1500U, 60'000U, 90'000U, 3'600'000U, 604'800'000U}) {
    EXPECT_THAT(ParseDuration(FormatDuration(value)), Optional(value));
  }
  EXPECT_EQ(FormatDuration(90'000), "90s");
  EXPECT_EQ(FormatDuration(7'200'000), "2h");
}

TEST(ParseSize, TakesAWholeNumberAndABinaryUnit) {
  EXPECT_THAT(ParseSize("64KiB"), Optional(65536U));
  EXPECT_THAT(ParseSize("256MiB"), Optional(268435456U));
  EXPECT_THAT(ParseSize("2GiB"), Optional(2147483648U));
  for (const std::string_view text : {"", "64", "64K", "64KB", "64kib", "1.5MiB", "64 KiB", "-1KiB", "KiB"}) {
    EXPECT_FALSE(ParseSize(text)) << text;
  }
  EXPECT_THAT(ParseSize("99999999999999999GiB"), Optional(kMaxNumber));
}

TEST(FormatSize, ParsesBackToTheSame) {
  for (const std::uint64_t value : {1024U, 65536U, 1U << 20U, 3U << 19U, 1U << 30U}) {
    EXPECT_THAT(ParseSize(FormatSize(value)), Optional(value));
  }
}

TEST(ParseMode, TakesFourOctalDigits) {
  EXPECT_THAT(ParseMode("0660"), Optional(0660U));
  EXPECT_EQ(FormatMode(0660), "0660");
  EXPECT_EQ(FormatMode(07), "0007");
  for (const std::string_view text : {"", "660", "432", "1660", "0668", "00660", "0o660", "rw-rw----"}) {
    EXPECT_FALSE(ParseMode(text)) << text;
  }
}

TEST(ParseNumber, RefusesWhatIsNoPlainDecimal) {
  EXPECT_THAT(ParseNumber("0"), Optional(0U));
  EXPECT_THAT(ParseNumber("18446744073709551615"), Optional(kMaxNumber));
  for (const std::string_view text : {"", "-1", "+1", "1.0", "1e3", "0x10", "010", "1_000", "1 ", "ten"}) {
    EXPECT_FALSE(ParseNumber(text)) << text;
  }
}

TEST(Nearest, NamesWhatWasProbablyMeant) {
  const std::vector<std::string> keys = {"name", "address", "socket_mode", "tls", "max_in_flight"};
  EXPECT_THAT(Nearest("adress", keys), Optional(std::string("address")));
  EXPECT_THAT(Nearest("Name", keys), Optional(std::string("name")));
  EXPECT_THAT(Nearest("tsl", keys), Optional(std::string("tls")));
  EXPECT_THAT(Nearest("maxInFlight", keys), Optional(std::string("max_in_flight")));
  EXPECT_THAT(Nearest("max-in-flight", keys), Optional(std::string("max_in_flight")));
  EXPECT_THAT(Nearest("ios_app", {"IOS-App"}), Optional(std::string("IOS-App")));
}

TEST(Nearest, NamesNothingThatIsFar) {
  EXPECT_FALSE(Nearest("banana", {"name", "address", "tls"}));
  EXPECT_FALSE(Nearest("", {"tls"}));
  EXPECT_FALSE(Nearest(std::string(100'000, 'a'), {"name"}));
}

struct FormCase {
  v1::Form form;
  std::vector<std::string> right;
  std::vector<std::string> wrong;
};
void PrintTo(const FormCase& form_case, std::ostream* out) { *out << v1::Form_Name(form_case.form); }

class WhatIsWrongTest : public testing::TestWithParam<FormCase> {};

TEST_P(WhatIsWrongTest, JudgesTheForm) {
  for (const std::string& text : GetParam().right) {
    EXPECT_EQ(WhatIsWrong(GetParam().form, text), std::nullopt) << text;
  }
  for (const std::string& text : GetParam().wrong) EXPECT_TRUE(WhatIsWrong(GetParam().form, text)) << text;
}

INSTANTIATE_TEST_SUITE_P(
    Forms, WhatIsWrongTest,
    testing::Values(
        FormCase{v1::FORM_UNSPECIFIED, {"x", "ä b"}, {"", "a\nb", "a\x7F", std::string(4097, 'x')}},
        FormCase{v1::FORM_NAME, {"a", "mobile-ci", "A.b_9"}, {"", "a/b", "a b", "ä", std::string(65, 'a')}},
        FormCase{v1::FORM_RESOURCE_NAME, {"acme", "5e1000000000000000000001"}, {"ab", "a_b", "a\\b", "a/b"}},
        FormCase{v1::FORM_RESOURCE_PATTERN,
                 {"*", "ios-app", "android-*", "*-app"},
                 {"**", "***", "a_*", "a/*", "ab", "*/*"}},
        FormCase{v1::FORM_SCOPE, {"sdk", "a.b:c_d-e"}, {"s k", "", std::string(65, 's')}},
        FormCase{
            v1::FORM_CALLER, {"dev", "svc:a/b", std::string(512, 'a')}, {"a b", "ä", std::string(513, 'a')}},
        FormCase{v1::FORM_CALLER_PATTERN, {"spiffe://a/*", "unix:ci"}, {"*", "**", "a***"}},
        FormCase{v1::FORM_DESCRIPTION,
                 {"{description}", "fixed", "{caller}{request_id}{on_behalf_of}"},
                 {"{other}", "{", "}", "{{description}}", "{Description}", "{description",
                  std::string(1001, 'x')}},
        FormCase{v1::FORM_TCP_LISTEN_ADDRESS, {"127.0.0.1:0", "[::]:9464"}, {"unix:///run/a", "127.0.0.1"}},
        FormCase{v1::FORM_REMOTE_ADDRESS, {"redis:6379", "unix:///run/redis"}, {"redis:0", "redis"}},
        FormCase{v1::FORM_ENVIRONMENT_VARIABLE, {"API_KEY", "_x9"}, {"9x", "A-B", "A=B", ""}},
        FormCase{v1::FORM_CREDENTIAL, {"applivery", "a.b"}, {".", "..", "a/b", "../x", ""}},
        FormCase{v1::FORM_PROXY,
                 {"http://proxy.corp:3128", "http://10.0.0.1:80", "http://[::1]:8080"},
                 {"proxy.corp:3128", "https://proxy.corp:3128", "http://proxy.corp", "http://proxy.corp:0",
                  "http://me:secret@proxy.corp:3128", "http://me@proxy.corp:3128", "http://proxy.corp:3128/",
                  "http://proxy.corp:3128/path", "http://proxy.corp:3128?q", "http://:3128", "socks5://a:1",
                  "http://"}},
        FormCase{v1::FORM_SERVER_NAME,
                 {"tokend.example", "tokend", "192.0.2.1", "2001:db8::1"},
                 {"", "tokend:8443", "[::1]", "https://a", "*.example", "a.example.", "1.2"}},
        FormCase{v1::FORM_PATH, {"/var/log/a.jsonl", "a"}, {"/var/log/", ""}}));

}  // namespace
}  // namespace tokend::config
