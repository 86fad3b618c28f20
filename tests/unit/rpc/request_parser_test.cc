#include "daemon/rpc/request_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/form.h"

namespace tokend::rpc {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kMixedCaseUuid[] = "0123ABCD-4567-89ab-cdef-0123456789AB";
constexpr char kLowerUuid[] = "0123abcd-4567-89ab-cdef-0123456789ab";

v1::CreateTokenRequest Good() {
  v1::CreateTokenRequest message;
  message.set_organization("acme");
  message.set_application("ios-app");
  return message;
}

std::variant<TokenRequest, Failure> Parse(const v1::CreateTokenRequest& message,
                                          const std::string& default_organization = "acme") {
  return RequestParser::Parse(message, RequestParser::IdOf(message), default_organization);
}

TokenRequest Parsed(const v1::CreateTokenRequest& message) { return std::get<TokenRequest>(Parse(message)); }

std::vector<std::string> BadFields(const v1::CreateTokenRequest& message,
                                   const std::string& default_organization = "acme") {
  const auto parsed = Parse(message, default_organization);
  const Failure* failure = std::get_if<Failure>(&parsed);
  if (failure == nullptr) return {};
  EXPECT_EQ(failure->reason, Reason::kInvalidRequest);
  std::vector<std::string> fields;
  for (const FieldViolation& violation : failure->fields) {
    EXPECT_FALSE(violation.description.empty());
    fields.push_back(violation.field);
  }
  return fields;
}

// The fields that are bad once `change` is made to a good request.
std::vector<std::string> BadFieldsOf(const std::function<void(v1::CreateTokenRequest&)>& change) {
  v1::CreateTokenRequest message = Good();
  change(message);
  return BadFields(message);
}

TEST(RequestParser, KeepsWhatAWellFormedRequestSays) {
  v1::CreateTokenRequest message = Good();
  message.set_application("0123456789ABCDEFabcdef01");
  message.set_description("nightly \xE2\x82\xAC");
  message.set_validate_only(true);
  const TokenRequest request = Parsed(message);
  EXPECT_EQ(request.organization(), "acme");
  EXPECT_EQ(request.application(), "0123456789ABCDEFabcdef01");
  EXPECT_EQ(request.description(), "nightly \xE2\x82\xAC");
  EXPECT_TRUE(request.validate_only());
  EXPECT_THAT(request.scopes(), IsEmpty());
}

TEST(RequestParser, KeepsWhatTheMetadataSays) {
  const v1::CreateTokenRequest message = Good();
  const Relayed relayed{.on_behalf_of = "unix:checkout", .digest = "1:ab", .age = std::chrono::seconds(7)};
  const auto parsed = RequestParser::Parse(message, RequestParser::IdOf(message), "acme",
                                           {.trace = "0af7", .traceparent = "00-0af7", .relayed = relayed});
  const TokenRequest& request = std::get<TokenRequest>(parsed);
  EXPECT_EQ(request.trace(), "0af7");
  EXPECT_EQ(request.traceparent(), "00-0af7");
  ASSERT_TRUE(request.relayed());
  EXPECT_EQ(request.relayed()->on_behalf_of, "unix:checkout");
  EXPECT_EQ(request.relayed()->digest, "1:ab");
  EXPECT_EQ(request.relayed()->age, std::chrono::seconds(7));
  EXPECT_FALSE(Parsed(message).relayed());
}

TEST(RequestParser, SortsScopes) {
  v1::CreateTokenRequest message = Good();
  for (const char* scope : {"sdk", "builds:read", "a_b.c"}) message.add_scopes(scope);
  EXPECT_THAT(Parsed(message).scopes(), ElementsAre("a_b.c", "builds:read", "sdk"));
}

TEST(RequestParser, LowersTheCallersRequestId) {
  v1::CreateTokenRequest message = Good();
  message.set_request_id(kMixedCaseUuid);
  EXPECT_EQ(Parsed(message).request_id(), kLowerUuid);
  EXPECT_EQ(Parsed(message).request_id_origin(), RequestIdOrigin::kCaller);
}

TEST(RequestParser, MakesARequestIdWhereNoneIsGiven) {
  const TokenRequest one = Parsed(Good());
  const TokenRequest other = Parsed(Good());
  EXPECT_EQ(ParseUuid(one.request_id()), one.request_id());
  EXPECT_EQ(one.request_id_origin(), RequestIdOrigin::kDaemon);
  EXPECT_NE(one.request_id(), other.request_id());
}

TEST(RequestParser, TakesTheOnlyOrganizationForNone) {
  v1::CreateTokenRequest message = Good();
  message.clear_organization();
  EXPECT_EQ(Parsed(message).organization(), "acme");
  EXPECT_EQ(Parsed(message).sent_organization(), "");
}

TEST(RequestParser, LeavesAMissingOrganizationToWhoKnowsRetries) {
  v1::CreateTokenRequest message = Good();
  message.clear_organization();
  EXPECT_EQ(std::get<TokenRequest>(Parse(message, "")).organization(), "");
  message.clear_application();
  EXPECT_THAT(BadFields(message, ""), ElementsAre("organization", "application"));
}

TEST(RequestParser, KeepsAnOrganizationThatIsNotConfiguredForThePolicyToDeny) {
  EXPECT_THAT(BadFieldsOf([](auto& m) { m.set_organization("not-configured"); }), IsEmpty());
}

TEST(RequestParser, NamesTheFieldThatIsWrong) {
  using M = v1::CreateTokenRequest;
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_organization("ab"); }), ElementsAre("organization"));
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_organization("a\\b"); }), ElementsAre("organization"));
  EXPECT_THAT(BadFieldsOf([](M& m) { m.clear_application(); }), ElementsAre("application"));
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_application("a/../b"); }), ElementsAre("application"));
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_application(std::string(129, 'a')); }),
              ElementsAre("application"));
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_application(std::string(128, 'a')); }), IsEmpty());
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_request_id("not-a-uuid"); }), ElementsAre("request_id"));
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_request_id("{0123abcd-4567-89ab-cdef-0123456789ab}"); }),
              ElementsAre("request_id"));
  EXPECT_THAT(BadFieldsOf([](M& m) { m.set_description("\xFF"); }), ElementsAre("description"));
}

TEST(RequestParser, TakesNoControlCharactersAndNoBidirectionalOverridesInADescription) {
  for (const char* text : {"a\nb", "\t", "\x1B[31m", "a\x7F", "\xC2\x85",
                           "a\xE2\x80\xAE"
                           "b",
                           "\xE2\x80\xAA", "\xE2\x81\xA6", "\xE2\x81\xA9"}) {
    EXPECT_THAT(BadFieldsOf([text](auto& m) { m.set_description(text); }), ElementsAre("description"))
        << text;
  }
  for (const char* text :
       {"a b", "\xC2\xA0", "\xE2\x80\xA9\xE2\x80\xAF", "\xE2\x81\xA5", "\xD7\xA9\xD7\x9C"}) {
    EXPECT_THAT(BadFieldsOf([text](auto& m) { m.set_description(text); }), IsEmpty()) << text;
  }
}

TEST(RequestParser, CountsADescriptionInUtf16) {
  std::string clefs;  // U+1D11E: four bytes, two code units
  for (int i = 0; i < 500; ++i) clefs += "\xF0\x9D\x84\x9E";
  EXPECT_THAT(BadFieldsOf([&](auto& m) { m.set_description(clefs); }), IsEmpty());
  EXPECT_THAT(BadFieldsOf([&](auto& m) { m.set_description(clefs + "a"); }), ElementsAre("description"));
}

TEST(RequestParser, NamesTheScopeThatIsWrong) {
  EXPECT_THAT(BadFieldsOf([](auto& m) {
                for (const char* scope : {"sdk", "", "a b", "sdk"}) m.add_scopes(scope);
                m.add_scopes(std::string(65, 'a'));
              }),
              ElementsAre("scopes[1]", "scopes[2]", "scopes[3]", "scopes[4]"));
}

TEST(RequestParser, TakesAtMost16Scopes) {
  const auto with_scopes = [](int count) {
    return [count](v1::CreateTokenRequest& message) {
      for (int i = 0; i < count; ++i) message.add_scopes("scope-" + std::to_string(i));
    };
  };
  EXPECT_THAT(BadFieldsOf(with_scopes(16)), IsEmpty());
  EXPECT_THAT(BadFieldsOf(with_scopes(17)), ElementsAre("scopes"));
}

TEST(RequestParser, NamesEveryBadFieldOnce) {
  EXPECT_THAT(BadFieldsOf([](auto& m) {
                m.set_organization("!");
                m.set_application("!");
                m.set_description("\xC0\x80");
                m.add_scopes("!");
                m.set_request_id("!");
              }),
              ElementsAre("organization", "application", "description", "scopes[0]", "request_id"));
}

TEST(RequestParser, NeverRepeatsWhatTheCallerWrote) {
  v1::CreateTokenRequest message = Good();
  message.set_application("quoted!");
  message.add_scopes("quoted!");
  const auto parsed = Parse(message);
  const Failure& failure = std::get<Failure>(parsed);
  EXPECT_EQ(failure.detail.find("quoted"), std::string::npos);
  for (const FieldViolation& violation : failure.fields) {
    EXPECT_EQ(violation.description.find("quoted"), std::string::npos);
  }
}

TEST(RequestParser, NamesACallByTheCallersIdHoweverBadTheRest) {
  v1::CreateTokenRequest message;
  message.set_request_id(kMixedCaseUuid);
  EXPECT_EQ(RequestParser::IdOf(message).value, kLowerUuid);
}

}  // namespace
}  // namespace tokend::rpc
