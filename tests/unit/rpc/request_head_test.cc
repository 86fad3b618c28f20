#include "daemon/rpc/request_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace tokend::rpc {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr char kOnBehalfOf[] = "tokend-on-behalf-of";
constexpr char kDigest[] = "tokend-request-digest";
constexpr char kAge[] = "tokend-request-age";
constexpr char kTimeout[] = "tokend-caller-timeout";
constexpr char kTraceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

RequestHead HeadWith(const Headers& headers) {
  RequestHead head;
  for (const auto& [name, value] : headers) head.Add(name, value);
  return head;
}

// The metadata that is named as wrong.
std::vector<std::string> WrongOf(const Headers& headers) {
  const std::optional<Failure> failure = HeadWith(headers).Validate();
  if (!failure) return {};
  EXPECT_EQ(failure->reason, Reason::kInvalidRequest);
  std::vector<std::string> wrong;
  for (const FieldViolation& field : failure->fields) wrong.push_back(field.field);
  return wrong;
}

TEST(RequestHead, HoldsWhatARelaySays) {
  const RequestHead head = HeadWith({{kOnBehalfOf, "unix:checkout"},
                                     {kDigest, "1:" + std::string(32, 'a') + std::string(32, 'F')},
                                     {kAge, "600"},
                                     {kTimeout, "2500"}});
  EXPECT_FALSE(head.Validate());
  ASSERT_TRUE(head.relayed);
  EXPECT_EQ(head.relayed->on_behalf_of, "unix:checkout");
  EXPECT_EQ(head.relayed->digest, "1:" + std::string(32, 'a') + std::string(32, 'f'));
  EXPECT_EQ(head.relayed->age, std::chrono::seconds(600));
  EXPECT_EQ(head.relayed->caller_timeout, std::chrono::milliseconds(2500));
}

TEST(RequestHead, ACallOfNoRelayHasNothingOfIt) {
  EXPECT_FALSE(HeadWith({{"grpc-timeout", "1S"}, {"tokend-other", "x"}}).relayed);
  const RequestHead head = HeadWith({{kOnBehalfOf, "a"}});
  ASSERT_TRUE(head.relayed);
  EXPECT_EQ(head.relayed->digest, "");
  EXPECT_FALSE(head.relayed->age);
  EXPECT_FALSE(head.relayed->caller_timeout);
}

TEST(RequestHead, NamesEachWrongValueOfARelay) {
  const std::string digits(64, '0');
  const std::vector<std::pair<std::string, std::vector<std::string>>> wrong = {
      {kOnBehalfOf, {"", "a b", "\xC3\xA4", std::string(513, 'a'), "a\tb"}},
      {kDigest, {"", digits, "1:", "1:" + digits + "0", "1:" + std::string(64, 'g'), "2:" + digits}},
      {kAge, {"", "-1", "+1", "1.5", " 1", "1s", "1000000000"}},
      {kTimeout, {"", "-1", "1m", "1000000000"}},
  };
  for (const auto& [name, values] : wrong) {
    for (const std::string& value : values) {
      EXPECT_THAT(WrongOf({{name, value}}), ElementsAre(name)) << value;
    }
  }
  for (const auto& [name, value] : Headers{{kOnBehalfOf, std::string(512, 'a')},
                                           {kDigest, "1:" + digits},
                                           {kAge, "0"},
                                           {kAge, "999999999"},
                                           {kTimeout, "0"}}) {
    EXPECT_THAT(WrongOf({{name, value}}), IsEmpty()) << value;
  }
}

TEST(RequestHead, TakesNoValueOfARelayTwice) {
  const std::string digest = "1:" + std::string(64, '0');
  for (const auto& [name, value] :
       Headers{{kOnBehalfOf, "a"}, {kDigest, digest}, {kAge, "1"}, {kTimeout, "1"}}) {
    EXPECT_THAT(WrongOf({{name, value}, {name, value}}), ElementsAre(name));
  }
  EXPECT_THAT(WrongOf({{kAge, "x"}, {kAge, "1"}, {kAge, "2"}, {kOnBehalfOf, ""}}),
              ElementsAre(kOnBehalfOf, kAge));
}

TEST(RequestHead, KeepsNoValueOfAnotherForm) {
  const RequestHead head = HeadWith({{kOnBehalfOf, "a b"}, {kDigest, "1:xyz"}});
  EXPECT_EQ(head.relayed->on_behalf_of, "");
  EXPECT_EQ(head.relayed->digest, "");
}

TEST(RequestHead, KeepsAWholeTraceparentThatIsValidAndGivenOnce) {
  EXPECT_EQ(HeadWith({{"traceparent", kTraceparent}}).traceparent, kTraceparent);
  EXPECT_EQ(HeadWith({{"traceparent", kTraceparent}}).trace(), "0af7651916cd43dd8448eb211c80319c");
  const std::string long_one = "cc" + std::string(kTraceparent).substr(2) + "-" + std::string(300, 'x');
  for (const Headers& headers :
       {Headers{}, Headers{{"traceparent", "00-0"}},
        Headers{{"traceparent", kTraceparent}, {"traceparent", kTraceparent}},
        Headers{{"traceparent", "x"}, {"traceparent", kTraceparent}}, Headers{{"traceparent", long_one}}}) {
    EXPECT_EQ(HeadWith(headers).traceparent.value_or(""), "");
    EXPECT_EQ(HeadWith(headers).trace(), "");
  }
}

TEST(RequestHead, CountsAndFreesTheTextsOfARelay) {
  RequestHead head = HeadWith({{kOnBehalfOf, "abc"}, {"traceparent", kTraceparent}});
  EXPECT_EQ(head.HeldBytes(), 3 + std::string(kTraceparent).size());
  head.ReleaseTexts();
  EXPECT_EQ(head.HeldBytes(), 0U);
}

}  // namespace
}  // namespace tokend::rpc
