#include "daemon/audit/record_line.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "daemon/base/form.h"

namespace tokend::audit {
namespace {

using google::protobuf::util::MessageDifferencer;

v1::Record FullRecord() {
  v1::Record record;
  record.set_seq(18446744073709551615U);
  SetTime(RecordTime(std::chrono::microseconds(1767323045000006)), record);
  record.set_event("token.withheld");
  record.set_request_id("6f1c2f5e-6a0b-4f5e-9f57-0d1a0f0b3c11");
  record.set_intent(9007199254740993U);
  record.mutable_caller()->set_name("spiffe://prod.example/ns/shop/sa/checkout");
  record.mutable_caller()->set_authentication("mtls");
  record.mutable_caller()->set_listener("cluster");
  record.mutable_caller()->set_peer("ipv4:10.0.0.7:4711");
  record.mutable_caller()->set_on_behalf_of("build-agent");
  record.set_digest("1:0123");
  record.set_resolves(7);
  record.set_trace("0af7651916cd43dd8448eb211c80319c");
  record.mutable_target()->set_organization("acme");
  record.mutable_target()->set_application("ios-app");
  record.mutable_target()->add_scopes("sdk");
  record.mutable_target()->add_scopes("x.y");
  record.mutable_target()->set_description("a \"quoted\" \\ text\nwith lines, ñ, €, 😀 and \x7f");
  record.set_grant("mobile-ci");
  record.set_config("0123456789abcdef");
  record.mutable_upstream()->set_http_status(401);
  record.mutable_upstream()->set_error_code(-4001);
  record.mutable_upstream()->set_latency_us(1234567);
  record.mutable_upstream()->set_key_generation(2);
  record.mutable_token()->set_id("5f0c1a2b3c4d5e6f7a8b9c0d");
  record.mutable_token()->set_organization("5f0c1a2b3c4d5e6f7a8b9c0e");
  record.mutable_token()->set_application("5f0c1a2b3c4d5e6f7a8b9c0f");
  record.mutable_token()->set_fingerprint("hmac-sha256:00ff");
  record.mutable_token()->set_fingerprint_key("47d6dd70");
  record.set_reason("OUTCOME_UNKNOWN");
  record.set_detail("what happened");
  record.set_count(3);
  record.set_signature("ed25519:AAAA");
  record.set_prev(std::string(64, 'a'));
  return record;
}

v1::Record Parsed(const std::string& line) {
  v1::Record record;
  const auto status = google::protobuf::util::JsonStringToMessage(line, &record);
  EXPECT_TRUE(status.ok()) << line;
  return record;
}

TEST(RecordLine, HasTheKeysInTheOrderOfTheAuditPage) {
  EXPECT_EQ(
      ToLine(FullRecord()),
      R"({"seq":18446744073709551615,"time":"2026-01-02T03:04:05.000006Z","event":"token.withheld",)"
      R"("request_id":"6f1c2f5e-6a0b-4f5e-9f57-0d1a0f0b3c11","intent":9007199254740993,)"
      R"("caller":{"name":"spiffe://prod.example/ns/shop/sa/checkout","authentication":"mtls","listener":"cluster",)"
      R"("peer":"ipv4:10.0.0.7:4711","on_behalf_of":"build-agent"},"digest":"1:0123","resolves":7,)"
      R"("trace":"0af7651916cd43dd8448eb211c80319c","target":{"organization":"acme","application":"ios-app",)"
      R"("scopes":["sdk","x.y"],"description":"a \"quoted\" \\ text\u000awith lines, ñ, €, 😀 and \u007f"},)"
      R"("grant":"mobile-ci","config":"0123456789abcdef","upstream":{"http_status":401,"error_code":-4001,)"
      R"("latency_us":1234567,"key_generation":2},"token":{"id":"5f0c1a2b3c4d5e6f7a8b9c0d",)"
      R"("organization":"5f0c1a2b3c4d5e6f7a8b9c0e","application":"5f0c1a2b3c4d5e6f7a8b9c0f",)"
      R"("fingerprint":"hmac-sha256:00ff","fingerprint_key":"47d6dd70"},)"
      R"("reason":"OUTCOME_UNKNOWN","detail":"what happened","count":3,)"
      R"("signature":"ed25519:AAAA","prev":")" +
          std::string(64, 'a') + "\"}");
}

TEST(RecordLine, IsTheSchemasJson) {
  const v1::Record record = FullRecord();
  EXPECT_TRUE(MessageDifferencer::Equals(Parsed(ToLine(record)), record));
}

TEST(RecordLine, LeavesOutWhatHasNothingToSay) {
  v1::Record record;
  record.set_seq(1);
  record.set_event("daemon.started");
  record.mutable_caller();
  record.mutable_target();
  record.mutable_upstream();
  EXPECT_EQ(ToLine(record), R"({"seq":1,"event":"daemon.started"})");
}

TEST(RecordLine, HasSixDigitsOfEverySecond) {
  v1::Record record;
  SetTime(RecordTime(std::chrono::seconds(1767323045)), record);
  EXPECT_EQ(ToLine(record), R"({"time":"2026-01-02T03:04:05.000000Z"})");
}

TEST(RecordLine, ReadsTheTimesThatItWritesAndNoOthers) {
  for (const std::int64_t us : {0LL, 1LL, 1767323045000006LL, 951782399999999LL, 951868800000000LL}) {
    v1::Record record;
    SetTime(RecordTime(std::chrono::microseconds(us)), record);
    const std::string line = ToLine(record);
    EXPECT_EQ(ParseTime(line.substr(9, 27)), RecordTime(std::chrono::microseconds(us))) << line;
  }
  for (const char* text :
       {"", "2026-01-02T03:04:05Z", "2026-02-30T03:04:05.000000Z", "2026-01-02T24:04:05.000000Z",
        "2026-01-02T03:04:05.0000000Z", "2026-01-02t03:04:05.000000Z", "2026-01-02T03:04:05.000000+"}) {
    EXPECT_FALSE(ParseTime(text)) << text;
  }
}

TEST(RecordLine, ReplacesWhatIsNoUtf8) {
  v1::Record record;
  record.set_detail("a\xff\xc3(\xed\xa0\x80z\xe2\x82");
  EXPECT_EQ(ToLine(record), "{\"detail\":\"a\uFFFD\uFFFD(\uFFFD\uFFFD\uFFFDz\uFFFD\uFFFD\"}");
}

TEST(RecordLine, IsOneLineForEveryReader) {
  v1::Record record;
  record.set_detail(std::string("\0\r\n\x1b", 4) + "\u0085\u2028\u2029\u00a0");
  EXPECT_EQ(ToLine(record), "{\"detail\":\"\\u0000\\u000d\\u000a\\u001b\\u0085\\u2028\\u2029\u00a0\"}");
}

TEST(RecordLine, HoldsAMaximalTargetWhole) {
  for (const char* worst : {"\x01", "\u0085", "\u20ac", "\""}) {
    v1::Record record = FullRecord();
    record.set_event("token.intended");
    record.mutable_caller()->set_name(std::string(100'000, 'c'));
    record.mutable_caller()->set_on_behalf_of(std::string(kMaxCallerName, '"'));
    v1::Target& target = *record.mutable_target();
    target.set_organization(std::string(128, 'o'));
    target.set_application(std::string(128, 'a'));
    target.clear_scopes();
    for (char c = 'a'; c < 'a' + 16; ++c) target.add_scopes(std::string(64, c));
    target.clear_description();
    for (std::size_t i = 0; i < kMaxDescriptionUtf16; ++i) target.mutable_description()->append(worst);

    const std::string line = ToLine(record);
    EXPECT_LT(line.size(), kMaxLine);
    EXPECT_TRUE(MessageDifferencer::Equals(Parsed(line).target(), target)) << worst;
    EXPECT_EQ(Parsed(line).caller().name(), std::string(kMaxCallerName, 'c'));
  }
}

TEST(RecordLine, NeverPassesItsMaximum) {
  for (const char* event : {"request.invalid", "token.unknown"}) {
    v1::Record record = FullRecord();
    record.set_event(event);
    const std::string text(50'000, '\x02');
    record.set_request_id(text);
    record.set_grant(text);
    record.set_detail(text);
    record.mutable_caller()->set_name(text);
    record.mutable_caller()->set_peer(text);
    record.mutable_caller()->set_on_behalf_of(text);
    record.mutable_caller()->set_listener(text);
    record.mutable_target()->set_organization(text);
    record.mutable_target()->set_application(text);
    record.mutable_target()->set_description(text);
    for (int i = 0; i < 5000; ++i) record.mutable_target()->add_scopes(text.substr(0, 100));
    const std::string line = ToLine(record);
    EXPECT_LT(line.size(), kMaxLine);
    Parsed(line);
  }
}

TEST(RecordLine, CutsWhatACallerChoseInARequest) {
  v1::Record record;
  record.set_event("request.invalid");
  v1::Target& target = *record.mutable_target();
  target.set_organization(std::string(1023, 'o') + "é");
  target.set_application(std::string(5000, 'a'));
  target.set_description("short");
  for (int i = 0; i < 100; ++i) target.add_scopes(std::string(100, 's'));
  CutRequestTexts(record);
  EXPECT_EQ(target.organization(), std::string(1023, 'o'));
  EXPECT_EQ(target.application(), std::string(1024, 'a'));
  EXPECT_EQ(target.description(), "short");
  EXPECT_EQ(target.scopes_size(), 11);
  EXPECT_EQ(target.scopes(10), std::string(24, 's'));
  EXPECT_TRUE(MessageDifferencer::Equals(Parsed(ToLine(record)).target(), target));

  record.set_event("token.refused");
  target.set_description(std::string(1500, 'd'));
  CutRequestTexts(record);
  EXPECT_EQ(target.description().size(), 1500U);
}

}  // namespace
}  // namespace tokend::audit
