#include "daemon/upstream/grpc_exchange.h"

#include <gtest/gtest.h>

#include <string>

namespace tokend::upstream {
namespace {

using std::chrono::milliseconds;

loop::HttpAnswer CompleteGrpc(const std::string& body, std::vector<loop::AnswerField> fields) {
  loop::HttpAnswer answer;
  answer.ending = loop::Ending::kComplete;
  answer.status = 200;
  answer.body = Secret(body);
  answer.fields = {{"content-type", "application/grpc", false}};
  answer.fields.insert(answer.fields.end(), fields.begin(), fields.end());
  return answer;
}

CentralAnswer JudgedGrpc(const loop::HttpAnswer& answer) {
  CentralAnswer judged;
  JudgeGrpcAnswer(answer, "centre:1", judged);
  EXPECT_EQ(judged.status.has_value(), judged.error.empty());
  return judged;
}

std::optional<int> GrpcStatusOf(const std::string& body, std::vector<loop::AnswerField> fields) {
  return JudgedGrpc(CompleteGrpc(body, std::move(fields))).status;
}

TEST(GrpcExchange, FramesAMessage) {
  EXPECT_EQ(FrameMessage("abc"), std::string("\0\0\0\0\3abc", 8));
  EXPECT_EQ(FrameMessage(std::string(65536, 'x')).substr(0, 5), std::string("\0\0\1\0\0", 5));
}

TEST(GrpcExchange, WritesTimeoutsOfAtMostEightDigits) {
  EXPECT_EQ(GrpcTimeout(milliseconds(1)), "1m");
  EXPECT_EQ(GrpcTimeout(std::chrono::seconds(40)), "40000m");
  EXPECT_EQ(GrpcTimeout(milliseconds(99'999'999)), "99999999m");
  EXPECT_EQ(GrpcTimeout(milliseconds(100'000'000)), "100000S");
}

TEST(GrpcExchange, KnowsWhatMetadataMayBe) {
  EXPECT_TRUE(IsMetadata("tokend-on-behalf-of", "spiffe://a/b"));
  for (const char* name :
       {"", "Upper", "a b", "grpc-status", "te", "authorization", "content-type", ":path"}) {
    EXPECT_FALSE(IsMetadata(name, "a")) << name;
  }
  for (const char* value : {"", "a\r\nb: c", "a\x7f", "\xc3\xa4"}) {
    EXPECT_FALSE(IsMetadata("name", value)) << value;
  }
}

TEST(GrpcExchange, TakesOneWholeMessageAndStatusZero) {
  const CentralAnswer answer = JudgedGrpc(CompleteGrpc(FrameMessage("abc"), {{"grpc-status", "0", true}}));
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.message.Expose(), "abc");
  EXPECT_EQ(JudgedGrpc(CompleteGrpc(FrameMessage(""), {{"grpc-status", "0", true}})).status, 0);
}

TEST(GrpcExchange, TakesNothingElseForAMessage) {
  const std::vector<loop::AnswerField> ok = {{"grpc-status", "0", true}};
  const std::string framed = FrameMessage("abc");
  EXPECT_EQ(GrpcStatusOf("", ok), std::nullopt);
  EXPECT_EQ(GrpcStatusOf(framed.substr(0, 4), ok), std::nullopt);
  EXPECT_EQ(GrpcStatusOf(framed.substr(0, 7), ok), std::nullopt);
  EXPECT_EQ(GrpcStatusOf(framed + "x", ok), std::nullopt);
  EXPECT_EQ(GrpcStatusOf(framed + framed, ok), std::nullopt);
  EXPECT_EQ(GrpcStatusOf('\1' + framed.substr(1), ok), std::nullopt);
  EXPECT_EQ(GrpcStatusOf("", {{"grpc-status", "0", false}}), std::nullopt);
}

TEST(GrpcExchange, TakesOneStatusFromItsPlace) {
  EXPECT_EQ(GrpcStatusOf("", {{"grpc-status", "14", false}}), 14);
  EXPECT_EQ(GrpcStatusOf("", {{"grpc-status", "14", true}}), 14);
  EXPECT_EQ(GrpcStatusOf(FrameMessage("abc"), {{"grpc-status", "14", true}}), 14);
  // In the header of an answer with a body, it is not the end.
  EXPECT_EQ(GrpcStatusOf(FrameMessage("abc"), {{"grpc-status", "0", false}}), std::nullopt);
  EXPECT_EQ(GrpcStatusOf("", {{"grpc-status", "7", true}, {"grpc-status", "0", true}}), std::nullopt);
  for (const char* text : {"", "-1", "17", "007", "7 ", "x"}) {
    EXPECT_EQ(GrpcStatusOf("", {{"grpc-status", text, true}}), std::nullopt) << text;
  }
}

TEST(GrpcExchange, DecodesDetailsWithAndWithoutPadding) {
  const auto details = [](const char* text) {
    return JudgedGrpc(
        CompleteGrpc("", {{"grpc-status", "7", true}, {"grpc-status-details-bin", text, true}}));
  };
  EXPECT_EQ(details("YQ==").details, "a");
  EXPECT_EQ(details("YQ").details, "a");
  EXPECT_EQ(details("YWI=").details, "ab");
  EXPECT_EQ(details("YWJj").details, "abc");
  EXPECT_EQ(details("").details, "");
  for (const char* text : {"YQ=", "Y", "YQ===", "Y Q=", "Y.Q", "Y_-Q", "YQ,YQ"}) {
    EXPECT_EQ(details(text).status, std::nullopt) << text;
  }
}

TEST(GrpcExchange, TakesNoAnswerThatIsNotGrpc) {
  for (const char* type : {"application/grpc+proto", "application/grpc;a=b"}) {
    loop::HttpAnswer answer = CompleteGrpc("", {{"grpc-status", "7", true}});
    answer.fields[0].value = type;
    EXPECT_EQ(JudgedGrpc(answer).status, 7) << type;
  }
  for (const char* type : {"application/grpcx", "application/json", ""}) {
    loop::HttpAnswer answer = CompleteGrpc("", {{"grpc-status", "7", true}});
    answer.fields[0].value = type;
    EXPECT_EQ(JudgedGrpc(answer).status, std::nullopt) << type;
  }
  loop::HttpAnswer answer = CompleteGrpc("", {{"grpc-status", "7", true}});
  answer.status = 502;
  EXPECT_EQ(JudgedGrpc(answer).error, "centre:1: it answered with HTTP status 502");
}

TEST(GrpcExchange, SaysWhyThereIsNoWholeAnswer) {
  loop::HttpAnswer answer;
  answer.error = "centre:1: reset";
  EXPECT_EQ(JudgedGrpc(answer).error, "centre:1: reset");
  answer.error = "Answer body too large";
  EXPECT_EQ(JudgedGrpc(answer).error, "centre:1: Answer body too large");
}

}  // namespace
}  // namespace tokend::upstream
