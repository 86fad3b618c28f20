#include "daemon/audit/log_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tokend::audit {
namespace {

const std::string& Zeros() {
  static const std::string zeros(64, '0');
  return zeros;
}

// A record with these members between its event and its prev.
std::string LineWith(const std::string& members) {
  return R"({"seq":7,"time":"2026-01-02T03:04:05.000006Z","event":"token.issued",)" + members +
         R"("prev":")" + Zeros() + "\"}";
}

class LineParserTest : public testing::Test {
 protected:
  // The record is valid until the next call.
  const RecordView* Parse(const std::string& line) {
    padded_ = line + std::string(simdjson::SIMDJSON_PADDING, '\0');
    return parser_.Parse(std::string_view(padded_).substr(0, line.size()));
  }

 private:
  LineParser parser_;
  std::string padded_;
};

TEST_F(LineParserTest, ReadsEveryFieldOfTheSchema) {
  v1::Record record;
  record.set_seq(std::uint64_t{1} << 53U);
  SetTime(RecordTime(std::chrono::microseconds(1767323045000006)), record);
  record.set_event("token.withheld");
  record.set_request_id("6f1c2f5e-6a0b-4f5e-9f57-0d1a0f0b3c11");
  record.set_intent(3);
  record.set_resolves(2);
  record.mutable_caller()->set_name("ci");
  record.mutable_caller()->set_authentication("mtls");
  record.mutable_caller()->set_listener("cluster");
  record.mutable_caller()->set_peer("ipv4:10.0.0.7:4711");
  record.mutable_caller()->set_on_behalf_of("build-agent");
  record.set_digest("1:0123");
  record.set_trace("0af7651916cd43dd8448eb211c80319c");
  record.mutable_target()->set_organization("acme");
  record.mutable_target()->set_application("ios-app");
  record.mutable_target()->add_scopes("sdk");
  record.mutable_target()->add_scopes("x.y");
  record.mutable_target()->set_description("a \"quoted\" \\ text\nwith lines, ñ and €");
  record.set_grant("mobile-ci");
  record.set_config("0123456789abcdef");
  record.mutable_upstream()->set_http_status(401);
  record.mutable_upstream()->set_error_code(-4001);
  record.mutable_upstream()->set_latency_us(1234567);
  record.mutable_upstream()->set_key_generation(9);
  record.mutable_token()->set_id("5f0c1a2b3c4d5e6f7a8b9c0d");
  record.mutable_token()->set_organization("5f0c1a2b3c4d5e6f7a8b9c0e");
  record.mutable_token()->set_application("5f0c1a2b3c4d5e6f7a8b9c0f");
  record.mutable_token()->set_fingerprint("hmac-sha256:00ff");
  record.mutable_token()->set_fingerprint_key("47d6dd70");
  record.set_reason("OUTCOME_UNKNOWN");
  record.set_detail("what happened");
  record.set_count(4);
  record.set_signature("ed25519:AAAA");
  record.set_prev(std::string(64, 'a'));
  const auto* fields = v1::Record::descriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    EXPECT_TRUE(fields->field(i)->is_repeated() || record.GetReflection()->HasField(record, fields->field(i)))
        << fields->field(i)->name() << " is missing in this test";
  }
  const RecordView* const view = Parse(ToLine(record));
  ASSERT_NE(view, nullptr);
  EXPECT_EQ(ToRecord(*view).SerializeAsString(), record.SerializeAsString());
}

TEST_F(LineParserTest, ARecordKeepsNothingOfTheOneBefore) {
  ASSERT_NE(Parse(LineWith(R"("intent":5,"target":{"scopes":["sdk"]},"token":{"id":"t"},"detail":"d",)")),
            nullptr);
  const RecordView* const view = Parse(LineWith(""));
  ASSERT_NE(view, nullptr);
  EXPECT_EQ(view->intent, 0U);
  EXPECT_TRUE(view->target.scopes.empty());
  EXPECT_EQ(view->token.id, "");
  EXPECT_EQ(view->detail, "");
}

TEST_F(LineParserTest, TakesKeysInAnyOrderAndPassesOverOthers) {
  const RecordView* const view = Parse(R"({"new":[1,{"seq":3}],"prev":")" + Zeros() +
                                       R"(","caller":{"peer":"p","name":"ci","age":1},"event":"e",)"
                                       R"("time":"2026-01-02T03:04:05.000006Z","seq":7})");
  ASSERT_NE(view, nullptr);
  EXPECT_EQ(view->seq, 7U);
  EXPECT_EQ(view->event, "e");
  EXPECT_EQ(view->caller.name, "ci");
  EXPECT_EQ(view->caller.peer, "p");
}

TEST_F(LineParserTest, OfARepeatedKeyTheFirstValueCounts) {
  const RecordView* const view =
      Parse(LineWith(R"("seq":8,"event":"other","detail":"one","detail":2,"caller":{"name":"a","name":"b"},)"
                     R"("caller":{"name":"c","peer":"d"},)"));
  ASSERT_NE(view, nullptr);
  EXPECT_EQ(view->seq, 7U);
  EXPECT_EQ(view->event, "token.issued");
  EXPECT_EQ(view->detail, "one");
  EXPECT_EQ(view->caller.name, "a");
  EXPECT_EQ(view->caller.peer, "");
}

TEST_F(LineParserTest, AMemberOfTheWrongTypeMakesALineNoRecord) {
  for (const std::string members :
       {R"("detail":1,)", R"("intent":"1",)", R"("intent":-1,)", R"("count":1.0,)", R"("grant":null,)",
        R"("caller":{"name":true},)", R"("target":{"scopes":["sdk",1]},)", R"("token":{"id":[]},)",
        R"("upstream":{"http_status":1000},)", R"("upstream":{"error_code":"1"},)", R"("request_id":{},)"}) {
    EXPECT_EQ(Parse(LineWith(members)), nullptr) << members;
  }
  EXPECT_NE(Parse(LineWith(R"("caller":"ci","target":{"scopes":"sdk"},"upstream":{"error_code":-1},)")),
            nullptr)
      << "a text in place of an object or a list says nothing";
}

TEST_F(LineParserTest, ALineWithoutWhatEachRecordHasIsNoRecord) {
  const std::string whole = LineWith("");
  ASSERT_NE(Parse(whole), nullptr);
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"\"seq\":7,", ""},
      {"\"seq\":7", "\"seq\":0"},
      {"\"seq\":7", "\"seq\":9007199254740993"},
      {"\"seq\"", "\"Seq\""},
      {"\"time\"", "\"times\""},
      {"2026-01-02T", "2026-02-30T"},
      {"05.000006Z", "05.00006Z"},
      {"\"token.issued\"", "\"\""},
      {Zeros(), Zeros() + "0"},
      {Zeros(), Zeros().substr(1)},
      {Zeros(), Zeros().substr(1) + "A"},
      {Zeros(), Zeros().substr(1) + "g"},
      {"}", ""},
      {"}", "}}"},
      {"token.issued", "token\xff"},
      {"token.issued", "token\n"},
  };
  for (const auto& [from, to] : changes) {
    std::string line = whole;
    line.replace(line.find(from), from.size(), to);
    EXPECT_EQ(Parse(line), nullptr) << line;
  }
  EXPECT_EQ(Parse("[" + whole + "]"), nullptr);
  EXPECT_EQ(Parse(""), nullptr);
}

}  // namespace
}  // namespace tokend::audit
