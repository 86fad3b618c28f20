#include "daemon/upstream/answer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ostream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tokend::upstream {
namespace {

using loop::Ending;
using loop::HttpAnswer;
using loop::Sent;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kOrganization[] = "0123456789abcdef01234567";
constexpr char kGood[] =
    R"({"status":true,"data":{"id":"aaaaaaaaaaaaaaaaaaaaaaaa","organization":"0123456789abcdef01234567",)"
    R"("application":"bbbbbbbbbbbbbbbbbbbbbbbb","description":"d","bearer":"tok-secret","scopes":["sdk"]}})";

MintRequest Request() {
  return {.organization = kOrganization,
          .application = "ios-app",
          .description = "for the build",
          .scopes = {"ci:write", "sdk"}};
}

// kGood with the first `from` turned into `to`.
std::string Good(std::string_view from, std::string_view to) {
  std::string body = kGood;
  const std::size_t at = body.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return body.replace(at, from.size(), to);
}

std::string Data(std::string_view data) {
  return std::string(R"({"status":true,"data":)").append(data) + "}";
}

// A good answer with one more field.
std::string WithUnknown(std::string_view value) {
  return std::string(R"({"x":)").append(value).append(",").append(std::string_view(kGood).substr(1));
}

HttpAnswer Answer(int status, std::string_view body) {
  HttpAnswer answer;
  answer.sent = Sent::kYes;
  answer.ending = Ending::kComplete;
  answer.status = status;
  answer.body = Secret(body);
  return answer;
}

std::string Describe(const MintOutcome& outcome) {
  if (std::holds_alternative<Minted>(outcome.result)) return "minted";
  const auto* refused = std::get_if<Refused>(&outcome.result);
  const auto* unknown = std::get_if<Indeterminate>(&outcome.result);
  const Failure& failure = refused != nullptr ? refused->failure : unknown->failure;
  std::string text = refused != nullptr ? "refused " : unknown->withheld ? "withheld " : "unknown ";
  text += Name(failure.reason);
  if (failure.upstream_code.has_value()) text += " " + std::to_string(*failure.upstream_code);
  EXPECT_EQ(MayHaveCreated(failure.reason), unknown != nullptr) << text;
  EXPECT_EQ(failure.upstream_code, outcome.exchange.error_code);
  return text;
}

struct Case {
  std::string name;
  int status;
  std::string body;
  std::string expected;
  Sent sent = Sent::kYes;
  Ending ending = Ending::kComplete;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class AnswerIs : public testing::TestWithParam<Case> {};

TEST_P(AnswerIs, JudgedByStatusAndCode) {
  const Case& c = GetParam();
  HttpAnswer answer = Answer(c.status, c.body);
  answer.sent = c.sent;
  answer.ending = c.ending;
  const MintOutcome outcome = Judge(answer, Request());
  EXPECT_EQ(Describe(outcome), c.expected);
  EXPECT_EQ(outcome.exchange.http_status, c.status);
}

const std::string kCode4002 = R"({"status":false,"error":{"code":4002,"message":"No auth token"}})";
const std::string kCode3001 = R"({"status":false,"error":{"code":3001,"message":"Entity not found"}})";
const std::string kCode5003 = R"({"status":false,"error":{"code":5003,"data":{"limit":1e3,"num":2}}})";
const std::string kHtml = "<html><body>502 Bad Gateway</body></html>";

std::string CodeIs(std::string_view code) {
  return std::string(R"({"status":false,"error":{"code":)").append(code) + "}}";
}

const std::vector<Case> kRefusals = {
    {"ServerError", 500, "", "unknown OUTCOME_UNKNOWN"},
    {"ServerErrorHtml", 502, kHtml, "unknown OUTCOME_UNKNOWN"},
    {"ServerErrorThatSaysSuccess", 503, kGood, "unknown OUTCOME_UNKNOWN"},
    {"ServerErrorThatSaysFalse", 500, kCode3001, "unknown OUTCOME_UNKNOWN 3001"},
    {"ServerErrorThatBrokeOff", 504, "", "unknown OUTCOME_UNKNOWN", Sent::kYes, Ending::kBroken},
    {"ServerErrorTooLarge", 599, "x", "unknown OUTCOME_UNKNOWN", Sent::kYes, Ending::kTooLarge},
    {"ServerErrorBeforeTheBody", 503, "", "unknown OUTCOME_UNKNOWN", Sent::kNo},
    {"Redirect", 302, "", "refused UPSTREAM_REJECTED"},
    {"RedirectThatKeepsTheMethod", 307, kGood, "refused UPSTREAM_REJECTED"},
    {"NotModified", 304, "", "refused UPSTREAM_REJECTED"},
    {"MultipleChoices", 300, kHtml, "refused UPSTREAM_REJECTED"},
    {"TooManyRequests", 429, "", "refused UPSTREAM_RATE_LIMITED"},
    {"TooManyRequestsWithACode", 429, kCode3001, "refused UPSTREAM_RATE_LIMITED 3001"},
    {"TooManyRequestsBeforeTheBody", 429, "", "refused UPSTREAM_RATE_LIMITED", Sent::kNo},
    {"Unauthorized", 401, kCode4002, "refused UPSTREAM_KEY_REJECTED 4002"},
    {"UnauthorizedWithoutJson", 401, kHtml, "refused UPSTREAM_KEY_REJECTED"},
    {"UnauthorizedWithAnotherCode", 401, kCode3001, "refused UPSTREAM_KEY_REJECTED 3001"},
    {"UnauthorizedThatSaysSuccess", 401, kGood, "refused UPSTREAM_KEY_REJECTED"},
    {"UnauthorizedThatBrokeOff", 401, "{", "refused UPSTREAM_KEY_REJECTED", Sent::kYes, Ending::kBroken},
    {"UnauthorizedTooLarge", 401, "{", "refused UPSTREAM_KEY_REJECTED", Sent::kYes, Ending::kTooLarge},
    {"Forbidden", 403, kHtml, "refused UPSTREAM_FORBIDDEN"},
    {"ForbiddenWithAKeyCode", 403, kCode4002, "refused UPSTREAM_FORBIDDEN 4002"},
    {"NotFound", 404, kCode3001, "refused APPLICATION_NOT_FOUND 3001"},
    {"NotFoundHtml", 404, kHtml, "refused APPLICATION_NOT_FOUND"},
    {"NotFoundEmpty", 404, "", "refused APPLICATION_NOT_FOUND"},
    {"NotFoundWithAnotherCode", 404, kCode5003, "refused UPSTREAM_REJECTED 5003"},
    {"NotFoundWithAKeyCode", 404, kCode4002, "refused UPSTREAM_REJECTED 4002"},
    {"NotFoundCodeAsText", 404, CodeIs(R"("5003")"), "refused APPLICATION_NOT_FOUND"},
    {"NotFoundCodeTwice", 404, R"({"error":{"code":5003,"code":5004}})", "refused APPLICATION_NOT_FOUND"},
    {"NotFoundWithoutStatus", 404, R"({"error":{"code":5003}})", "refused UPSTREAM_REJECTED 5003"},
    {"NotFoundThatBrokeOff", 404, kCode5003, "refused APPLICATION_NOT_FOUND", Sent::kYes, Ending::kBroken},
    {"BadRequest", 400, CodeIs("5014"), "refused UPSTREAM_REJECTED 5014"},
    {"BadRequestWithAKeyCode", 400, kCode4002, "refused UPSTREAM_REJECTED 4002"},
    {"BadRequestThatSaysSuccess", 400, kGood, "refused UPSTREAM_REJECTED"},
    {"PaymentRequired", 402, kCode5003, "refused UPSTREAM_REJECTED 5003"},
    {"Conflict", 409, "[]", "refused UPSTREAM_REJECTED"},
    {"Teapot", 418, "{", "refused UPSTREAM_REJECTED"},
    {"Last4xx", 499, "", "refused UPSTREAM_REJECTED"},
    {"BadRequestBeforeTheBody", 400, "", "refused UPSTREAM_REJECTED", Sent::kNo},
    {"OkFalseNotFound", 200, kCode3001, "refused APPLICATION_NOT_FOUND 3001"},
    {"OkFalse4001", 200, CodeIs("4001"), "refused UPSTREAM_KEY_REJECTED 4001"},
    {"OkFalse4002", 201, CodeIs("4002"), "refused UPSTREAM_KEY_REJECTED 4002"},
    {"OkFalse4004", 200, CodeIs("4004"), "refused UPSTREAM_KEY_REJECTED 4004"},
    {"OkFalse3002", 200, CodeIs("3002"), "refused UPSTREAM_KEY_REJECTED 3002"},
    {"OkFalse4003", 200, CodeIs("4003"), "refused UPSTREAM_REJECTED 4003"},
    {"OkFalsePlanLimit", 200, kCode5003, "refused UPSTREAM_REJECTED 5003"},
    {"AcceptedFalse", 202, kCode3001, "refused APPLICATION_NOT_FOUND 3001"},
    {"OkFalseWithoutError", 200, R"({"status":false})", "refused UPSTREAM_REJECTED"},
    {"OkFalseErrorNull", 200, R"({"status":false,"error":null})", "refused UPSTREAM_REJECTED"},
    {"OkFalseErrorText", 200, R"({"error":"3001","status":false})", "refused UPSTREAM_REJECTED"},
    {"OkFalseCodeText", 200, CodeIs(R"("3001")"), "refused UPSTREAM_REJECTED"},
    {"OkFalseCodeFraction", 200, CodeIs("3001.0"), "refused UPSTREAM_REJECTED"},
    {"OkFalseCodeExponent", 200, CodeIs("3.001e3"), "refused UPSTREAM_REJECTED"},
    {"OkFalseCodeHuge", 200, CodeIs("99999999999999999999"), "refused UPSTREAM_REJECTED"},
    {"OkFalseCodeNegative", 200, CodeIs("-3001"), "refused UPSTREAM_REJECTED -3001"},
    {"OkFalseCodeLeadingZero", 200, CodeIs("03001"), "unknown UPSTREAM_INVALID_RESPONSE"},
    {"OkFalseCodeTwice", 200, R"({"status":false,"error":{"code":1,"code":2}})",
     "unknown UPSTREAM_INVALID_RESPONSE"},
    {"OkFalseErrorTwice", 200, R"({"status":false,"error":{},"error":{}})",
     "unknown UPSTREAM_INVALID_RESPONSE"},
    {"OkFalseAndBroken", 200, R"({"status":false,)", "unknown UPSTREAM_INVALID_RESPONSE"},
};

const std::vector<Case> kSilences = {
    {"NothingSent", 0, "", "refused UPSTREAM_UNAVAILABLE", Sent::kNo, Ending::kBroken},
    {"StoppedBeforeSending", 0, "", "refused UPSTREAM_UNAVAILABLE", Sent::kNo, Ending::kStopped},
    {"NoAnswer", 0, "", "unknown OUTCOME_UNKNOWN", Sent::kYes, Ending::kBroken},
    {"StoppedAfterSending", 0, "", "unknown OUTCOME_UNKNOWN", Sent::kYes, Ending::kStopped},
    {"OkThatBrokeOff", 200, kGood, "unknown OUTCOME_UNKNOWN", Sent::kYes, Ending::kBroken},
    {"OkThatWasStopped", 200, "{", "unknown OUTCOME_UNKNOWN", Sent::kYes, Ending::kStopped},
    {"OkBeforeTheBody", 200, kGood, "withheld UPSTREAM_INVALID_RESPONSE", Sent::kNo},
    {"OkBeforeTheBodyThatBrokeOff", 200, "", "unknown UPSTREAM_INVALID_RESPONSE", Sent::kNo, Ending::kBroken},
    {"Informational", 101, "", "unknown UPSTREAM_INVALID_RESPONSE"},
    {"Beyond599", 600, "", "unknown UPSTREAM_INVALID_RESPONSE"},
    {"Beyond599ThatSaysFalse", 999, kCode3001, "unknown UPSTREAM_INVALID_RESPONSE 3001"},
};

constexpr char kInvalid[] = "unknown UPSTREAM_INVALID_RESPONSE";
constexpr char kWithheld[] = "withheld UPSTREAM_INVALID_RESPONSE";

const std::vector<Case> kSuccesses = {
    {"Ok", 200, kGood, "minted"},
    {"Created", 201, kGood, "minted"},
    {"OnlyWhatIsNeeded", 200, Data(R"({"id":"aaaaaaaaaaaaaaaaaaaaaaaa","bearer":"t"})"), "minted"},
    {"Blanks", 200, std::string(" \r\n\t") + Good("\"data\":", "\n\"data\" :\t ") + "\n\n", "minted"},
    {"DataFirst", 200,
     R"({"data":{"bearer":"t","id":"aaaaaaaaaaaaaaaaaaaaaaaa"},"error":null,"status":true})", "minted"},
    {"IdInCapitals", 200, Good("aaaaaaaaaaaaaaaaaaaaaaaa", "ABCDEFABCDEFABCDEFABCDEF"), "minted"},
    {"OrganizationInCapitals", 200, Good(kOrganization, "0123456789ABCDEF01234567"), "minted"},
    {"EscapesInTheBearer", 200, Good("tok-secret", R"(tok\u002dse\/cret\\\")"), "minted"},
    {"EscapesInAKey", 200, Good("\"bearer\"", R"("\u0062e\u0061rer")"), "minted"},
    {"BearerOf128", 200, Good("tok-secret", std::string(128, 'b')), "minted"},
    {"EveryAskedScope", 200, Good(R"(["sdk"])", R"([ "sdk" , "ci:write" ])"), "minted"},
    {"NoScope", 200, Good(R"(["sdk"])", "[]"), "minted"},
    {"AScopeTwice", 200, Good(R"(["sdk"])", R"(["sdk","sdk"])"), "minted"},
    {"DescriptionOfAnotherType", 200, Good(R"("d")", R"([{"a":1}])"), "minted"},
    {"ErrorBesideSuccess", 200, Good(R"("status":true)", R"("status":true,"error":"none")"), "minted"},

    {"NoContent", 204, "", kInvalid},
    {"Accepted", 202, kGood, kWithheld},
    {"NonAuthoritative", 203, kGood, kWithheld},
    {"Empty", 200, "", kInvalid},
    {"BlanksAlone", 200, "  \n", kInvalid},
    {"Html", 200, kHtml, kInvalid},
    {"TooLarge", 200, kGood, kInvalid, Sent::kYes, Ending::kTooLarge},
    {"AList", 200, std::string("[") + kGood + "]", kInvalid},
    {"ALiteral", 200, "true", kInvalid},
    {"EmptyObject", 200, "{}", kInvalid},

    {"StatusMissing", 200, Good(R"("status":true,)", ""), kWithheld},
    {"StatusText", 200, Good("true", R"("true")"), kWithheld},
    {"StatusFalseText", 200, Good("true", R"("false")"), kWithheld},
    {"StatusOne", 200, Good("true", "1"), kWithheld},
    {"StatusNull", 200, Good("true", "null"), kWithheld},
    {"StatusList", 200, Good("true", "[true]"), kWithheld},
    {"StatusInCapitals", 200, Good("true", "True"), kInvalid},
    {"StatusTrueAndMore", 200, Good("true", "truex"), kInvalid},

    {"DataMissing", 200, R"({"status":true})", kInvalid},
    {"DataNull", 200, Data("null"), kInvalid},
    {"DataList", 200, Data("[]"), kInvalid},
    {"DataText", 200, Data(R"("x")"), kInvalid},
    {"IdMissing", 200, Data(R"({"bearer":"t"})"), kWithheld},
    {"IdTooShort", 200, Good("aaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaa"), kWithheld},
    {"IdTooLong", 200, Good("aaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaa"), kWithheld},
    {"IdNotHex", 200, Good("aaaaaaaaaaaaaaaaaaaaaaaa", "gaaaaaaaaaaaaaaaaaaaaaaa"), kWithheld},
    {"IdNumber", 200, Good(R"("aaaaaaaaaaaaaaaaaaaaaaaa")", "123456789012345678901234"), kWithheld},
    {"IdNull", 200, Good(R"("aaaaaaaaaaaaaaaaaaaaaaaa")", "null"), kWithheld},
    {"BearerMissing", 200, Data(R"({"id":"aaaaaaaaaaaaaaaaaaaaaaaa"})"), kInvalid},
    {"BearerEmpty", 200, Good("tok-secret", ""), kInvalid},
    {"BearerOf129", 200, Good("tok-secret", std::string(129, 'b')), kInvalid},
    {"BearerNumber", 200, Good(R"("tok-secret")", "42"), kInvalid},
    {"BearerNull", 200, Good(R"("tok-secret")", "null"), kInvalid},
    {"BearerList", 200, Good(R"("tok-secret")", R"(["t"])"), kInvalid},
    {"BearerWithNewline", 200, Good("tok-secret", R"(tok\nsecret)"), kInvalid},
    {"BearerWithNul", 200, Good("tok-secret", R"(tok\u0000secret)"), kInvalid},
    {"BearerWithDelete", 200, Good("tok-secret", "tok\x7fsecret"), kInvalid},
    {"BearerWithUmlaut", 200, Good("tok-secret", "t\xc3\xb6k"), kInvalid},
    {"BearerWithEscapedUmlaut", 200, Good("tok-secret", R"(t\u00f6k)"), kInvalid},
    {"AnotherOrganization", 200, Good(kOrganization, "cccccccccccccccccccccccc"), kWithheld},
    {"OrganizationNumber", 200, Good(R"("0123456789abcdef01234567")", "7"), kWithheld},
    {"OrganizationNull", 200, Good(R"("0123456789abcdef01234567")", "null"), kWithheld},
    {"AScopeNotAsked", 200, Good(R"(["sdk"])", R"(["sdk","admin"])"), kWithheld},
    {"AScopeInCapitals", 200, Good(R"(["sdk"])", R"(["SDK"])"), kWithheld},
    {"AScopeNumber", 200, Good(R"(["sdk"])", R"(["sdk",1])"), kWithheld},
    {"AScopeList", 200, Good(R"(["sdk"])", R"([["sdk"]])"), kWithheld},
    {"ScopesText", 200, Good(R"(["sdk"])", R"("sdk")"), kWithheld},
    {"ScopesObject", 200, Good(R"(["sdk"])", R"({"sdk":true})"), kWithheld},
    {"ScopesNull", 200, Good(R"(["sdk"])", "null"), kWithheld},

    {"StatusTwice", 200, Good(R"("status":true)", R"("status":true,"status":true)"), kWithheld},
    {"StatusTwiceByEscape", 200, Good(R"("status":true)", R"("status":true,"st\u0061tus":true)"), kWithheld},
    {"StatusFalseThenTrue", 200, Good(R"("status":true)", R"("status":false,"status":true)"), kWithheld},
    {"DataTwice", 200, Good(R"("status":true)", R"("data":{},"status":true)"), kInvalid},
    {"IdTwice", 200, Good(R"("id")", R"("id":"bbbbbbbbbbbbbbbbbbbbbbbb","id")"), kWithheld},
    {"BearerTwice", 200, Good(R"("bearer")", R"("bearer":"other","bearer")"), kWithheld},
    {"ScopesTwice", 200, Good(R"("scopes")", R"("scopes":[],"scopes")"), kWithheld},
    {"OrganizationTwice", 200, Good(R"("description")", R"("organization":"x","description")"), kWithheld},
    {"ApplicationTwice", 200, Good(R"("description")", R"("application":"x","description")"), kWithheld},
};

const std::vector<Case> kJson = {
    {"UnknownHuge", 200, WithUnknown("1e999"), "minted"},
    {"UnknownLong", 200, WithUnknown(std::string(500, '9')), "minted"},
    {"UnknownNumbers", 200, WithUnknown("[0,-0,-1.5e+10,2E-3,0.0]"), "minted"},
    {"UnknownTwice", 200, WithUnknown("1,\"x\":2"), "minted"},
    {"UnknownHoldsKnownTwice", 200, WithUnknown(R"({"status":1,"status":2,"bearer":null})"), "minted"},
    {"UnknownNull", 200, WithUnknown("null"), "minted"},
    {"UnknownNested", 200, WithUnknown(R"({"a":[{"b":[[],{}]}],"c":{"":""}})"), "minted"},
    {"UnknownEscapes", 200, WithUnknown(R"("\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00")"), "minted"},
    {"UnknownLoneSurrogate", 200, WithUnknown(R"("\ud800 \udfff")"), "minted"},
    {"UnknownUtf8", 200, WithUnknown("\"\xf0\x9f\x98\x80 \xe2\x80\xa8 \xc3\xa9\""), "minted"},
    {"UnknownDeep", 200, WithUnknown(std::string(900, '[') + std::string(900, ']')), "minted"},
    {"UnknownTooDeep", 200, WithUnknown(std::string(100000, '[') + std::string(100000, ']')), kInvalid},
    {"UnknownInData", 200, Good(R"("description":"d")", R"("x":{"bearer":[1e999]},"y":"z")"), "minted"},
    {"UnknownEmptyKey", 200, Good(R"("status")", R"("":0,"status")"), "minted"},

    {"TrailingComma", 200, Good("]}}", "]},}"), kWithheld},
    {"TrailingCommaInData", 200, Good("]}}", "],}}"), kWithheld},
    {"TrailingCommaInList", 200, Good(R"(["sdk"])", R"(["sdk",])"), kWithheld},
    {"LeadingComma", 200, Good("{", "{,"), kInvalid},
    {"MissingComma", 200, Good("true,", "true "), kInvalid},
    {"MissingColon", 200, Good("\"data\":", "\"data\" "), kInvalid},
    {"DoubleComma", 200, Good("true,", "true,,"), kInvalid},
    {"DoubleColon", 200, Good("\"data\":", "\"data\"::"), kInvalid},
    {"SingleQuotes", 200, Good(R"("status")", "'status'"), kInvalid},
    {"BareKey", 200, Good(R"("status")", "status"), kInvalid},
    {"NumberAsKey", 200, Good(R"("status")", R"(1:2,"status")"), kInvalid},
    {"Comment", 200, Good("true,", "true,/* */"), kInvalid},
    {"Truncated", 200, std::string(kGood).substr(0, 100), kInvalid},
    {"Unclosed", 200, std::string(kGood).substr(0, sizeof kGood - 2), kWithheld},
    {"MismatchedClose", 200, Good("]}}", "}]}"), kWithheld},
    {"ClosedTwice", 200, std::string(kGood) + "}", kWithheld},
    {"TwoDocuments", 200, std::string(kGood) + kGood, kWithheld},
    {"TrailingText", 200, std::string(kGood) + " x", kInvalid},
    {"TrailingNul", 200, std::string(kGood) + '\0', kInvalid},
    {"ByteOrderMark", 200, std::string("\xef\xbb\xbf") + kGood, "minted"},
    {"Utf16", 200, std::string("{\0}\0", 4), kInvalid},
    {"UnknownNan", 200, WithUnknown("NaN"), kInvalid},
    {"UnknownInfinity", 200, WithUnknown("-Infinity"), kInvalid},
    {"UnknownPlus", 200, WithUnknown("+1"), kInvalid},
    {"UnknownLeadingZero", 200, WithUnknown("[01]"), kInvalid},
    {"UnknownBarePoint", 200, WithUnknown(".5"), kInvalid},
    {"UnknownEndsInPoint", 200, WithUnknown("5."), kInvalid},
    {"UnknownEmptyExponent", 200, WithUnknown("1e"), kInvalid},
    {"UnknownSignedEmptyExponent", 200, WithUnknown("1e+"), kInvalid},
    {"UnknownMinusAlone", 200, WithUnknown("-"), kInvalid},
    {"UnknownHex", 200, WithUnknown("0x10"), kInvalid},
    {"UnknownTwoNumbers", 200, WithUnknown("1 2"), kInvalid},
    {"UnknownTextThenNumber", 200, WithUnknown("\"a\"1"), kInvalid},
    {"UnknownWord", 200, WithUnknown("nul"), kInvalid},
    {"UnknownWordAndMore", 200, WithUnknown("nullnull"), kInvalid},
    {"UnknownUndefined", 200, WithUnknown("undefined"), kInvalid},
    {"UnknownNothing", 200, WithUnknown(""), kInvalid},
    {"UnknownBadEscape", 200, WithUnknown(R"("\x41")"), kInvalid},
    {"UnknownShortUnicode", 200, WithUnknown(R"("\u12")"), kInvalid},
    {"UnknownBadUnicode", 200, WithUnknown(R"("\u12g4")"), kInvalid},
    {"UnknownRawNewline", 200, WithUnknown("\"a\nb\""), kInvalid},
    {"UnknownRawNul", 200, WithUnknown(std::string("\"a\0b\"", 5)), kInvalid},
    {"UnknownBadUtf8", 200, WithUnknown("\"\xff\""), kInvalid},
    {"UnknownOverlongUtf8", 200, WithUnknown("\"\xc0\xaf\""), kInvalid},
    {"UnknownSurrogateUtf8", 200, WithUnknown("\"\xed\xa0\x80\""), kInvalid},
    {"UnknownUnclosedText", 200, WithUnknown("\"abc"), kInvalid},
    {"UnknownUnclosedList", 200, WithUnknown("[1"), kInvalid},
    {"UnknownListClosedAsObject", 200, WithUnknown("[1}"), kInvalid},
    {"UnknownBadEscapeInKey", 200, WithUnknown(R"({"\q":1})"), kInvalid},
    {"FormFeedAsBlank", 200, Good("true,", "true,\f"), kInvalid},
    {"BadEscapeInTheBearer", 200, Good("tok-secret", R"(\t\q)"), kInvalid},
};

std::string CaseName(const testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Refusal, AnswerIs, testing::ValuesIn(kRefusals), CaseName);
INSTANTIATE_TEST_SUITE_P(Silence, AnswerIs, testing::ValuesIn(kSilences), CaseName);
INSTANTIATE_TEST_SUITE_P(Success, AnswerIs, testing::ValuesIn(kSuccesses), CaseName);
INSTANTIATE_TEST_SUITE_P(Json, AnswerIs, testing::ValuesIn(kJson), CaseName);

const Failure& FailureOf(const MintOutcome& outcome) {
  if (const auto* refused = std::get_if<Refused>(&outcome.result)) return refused->failure;
  return std::get<Indeterminate>(outcome.result).failure;
}

TEST(Answer, MakesTheTokenOfWhatWasAskedAndAnswered) {
  const MintOutcome outcome = Judge(Answer(200, kGood), Request());
  const Token& token = *std::get<Minted>(outcome.result).token;
  EXPECT_EQ(token.id, "aaaaaaaaaaaaaaaaaaaaaaaa");
  EXPECT_EQ(token.organization, kOrganization);
  EXPECT_EQ(token.application, "bbbbbbbbbbbbbbbbbbbbbbbb");
  EXPECT_EQ(token.description, "for the build");
  EXPECT_EQ(token.scopes, std::vector<std::string>{"sdk"});
  EXPECT_TRUE(token.bearer.Expose() == "tok-secret");
}

TEST(Answer, DecodesEscapesInTheBearer) {
  const MintOutcome outcome = Judge(Answer(200, Good("tok-secret", R"(\u0041\u007e\/\\\" z)")), Request());
  EXPECT_TRUE(std::get<Minted>(outcome.result).token->bearer.Expose() == "A~/\\\" z");
}

TEST(Answer, TakesTheAskedScopesWhereNoneAreAnswered) {
  const MintOutcome outcome = Judge(Answer(200, Good(R"(,"scopes":["sdk"])", "")), Request());
  EXPECT_EQ(std::get<Minted>(outcome.result).token->scopes, (std::vector<std::string>{"ci:write", "sdk"}));
}

TEST(Answer, HoldsAnApplicationThatWasAskedByItsIdToThatId) {
  MintRequest request = Request();
  request.application = "BBBBBBBBBBBBBBBBBBBBBBBB";
  EXPECT_EQ(Describe(Judge(Answer(200, kGood), request)), "minted");
  request.application = "dddddddddddddddddddddddd";
  EXPECT_EQ(Describe(Judge(Answer(200, kGood), request)), kWithheld);
}

TEST(Answer, RepeatsNoTextThatIsNoObjectId) {
  MintRequest request = Request();
  request.organization = "acme";
  const std::string body =
      Data(R"({"id":"aaaaaaaaaaaaaaaaaaaaaaaa","bearer":"t","organization":"acme","application":["k3y"]})");
  const MintOutcome outcome = Judge(Answer(200, body), request);
  const Token& token = *std::get<Minted>(outcome.result).token;
  EXPECT_EQ(token.organization, "");
  EXPECT_EQ(token.application, "");
}

TEST(Answer, WithholdsTheBearerWithTheIdOnlyWhereThatIsOne) {
  const MintOutcome with_id = Judge(Answer(200, Good(R"(["sdk"])", R"(["admin"])")), Request());
  const auto& withheld = std::get<Indeterminate>(with_id.result).withheld;
  ASSERT_TRUE(withheld);
  EXPECT_EQ(withheld->id, "aaaaaaaaaaaaaaaaaaaaaaaa");
  EXPECT_TRUE(withheld->bearer.Expose() == "tok-secret");
  const MintOutcome without_id = Judge(Answer(200, Good("aaaaaaaaaaaaaaaaaaaaaaaa", "k3y")), Request());
  ASSERT_TRUE(std::get<Indeterminate>(without_id.result).withheld);
  EXPECT_EQ(std::get<Indeterminate>(without_id.result).withheld->id, "");
}

TEST(Answer, NeverRepeatsUpstreamsWords) {
  for (const int status : {0, 200, 202, 302, 400, 401, 403, 404, 429, 500, 999}) {
    for (const std::string& body :
         {std::string(R"({"status":false,"error":{"code":1,"message":"k3y"}})"), std::string("k3y"),
          Good("aaaaaaaaaaaaaaaaaaaaaaaa", "k3y"), Good(kOrganization, "k3y"), Good("sdk", "k3y")}) {
      const MintOutcome outcome = Judge(Answer(status, body), Request());
      EXPECT_EQ(FailureOf(outcome).detail.find("k3y"), std::string::npos) << status;
      EXPECT_FALSE(FailureOf(outcome).detail.empty()) << status;
    }
  }
}

TEST(Answer, RepeatsRetryAfterWithinAnHour) {
  const auto retry_after = [](std::optional<seconds> given) {
    HttpAnswer answer = Answer(429, "");
    answer.retry_after = given;
    return FailureOf(Judge(answer, Request())).retry_after;
  };
  EXPECT_EQ(retry_after(std::nullopt), std::nullopt);
  EXPECT_EQ(retry_after(seconds(17)), milliseconds(17000));
  EXPECT_EQ(retry_after(seconds(3600)), milliseconds(3600000));
  EXPECT_EQ(retry_after(seconds(9000000000000000)), milliseconds(3600000));
}

TEST(Answer, SaysWhenToRetryWhereNothingWasSent) {
  HttpAnswer answer;
  answer.error = "Couldn't connect to server";
  const MintOutcome outcome = Judge(answer, Request());
  EXPECT_EQ(FailureOf(outcome).retry_after, milliseconds(1000));
  EXPECT_EQ(FailureOf(outcome).detail, "nothing was sent: Couldn't connect to server");
}

TEST(Judge, ReadsNoEncodedBodyAndSaysSo) {
  HttpAnswer answer = Answer(200, kGood);
  answer.encoded = true;
  const MintOutcome outcome = Judge(answer, Request());
  EXPECT_EQ(Describe(outcome), "unknown UPSTREAM_INVALID_RESPONSE");
  EXPECT_EQ(FailureOf(outcome).detail,
            "upstream answered 200 with a Content-Encoding, although the request said identity");

  answer.status = 404;
  EXPECT_EQ(Describe(Judge(answer, Request())), "refused APPLICATION_NOT_FOUND") << "the status decides";
  answer.status = 500;
  EXPECT_EQ(Describe(Judge(answer, Request())), "unknown OUTCOME_UNKNOWN");
}

TEST(Judge, TellsA404ThatIsNotAppliverysApart) {
  EXPECT_EQ(FailureOf(Judge(Answer(404, kCode3001), Request())).detail, "upstream answered 404");
  for (const char* body : {"", "<html>", "{}", R"({"message":"no route"})", "[]"}) {
    EXPECT_EQ(FailureOf(Judge(Answer(404, body), Request())).detail,
              "upstream answered 404 without Applivery's JSON: does base_url lead to Applivery?")
        << body;
  }
}

TEST(Judge, IgnoresAByteOrderMarkBeforeTheJson) {
  const std::string mark = "\xef\xbb\xbf";
  EXPECT_EQ(Describe(Judge(Answer(200, mark + kGood), Request())), "minted");
  EXPECT_EQ(Describe(Judge(Answer(200, mark + mark + kGood), Request())),
            "unknown UPSTREAM_INVALID_RESPONSE");
  EXPECT_EQ(Describe(Judge(Answer(200, mark), Request())), "unknown UPSTREAM_INVALID_RESPONSE");
}

TEST(Answer, KeepsStatusCodeAndLatencyForTheRecord) {
  HttpAnswer answer = Answer(400, CodeIs("5014"));
  answer.latency = std::chrono::microseconds(1234);
  const UpstreamExchange exchange = Judge(answer, Request()).exchange;
  EXPECT_EQ(exchange.http_status, 400);
  EXPECT_EQ(exchange.error_code, 5014);
  EXPECT_EQ(exchange.latency, std::chrono::microseconds(1234));
}

TEST(Answer, IsInvalidWhereverItIsCutOff) {
  const std::string_view good = kGood;
  for (std::size_t size = 0; size < good.size(); ++size) {
    const MintOutcome outcome = Judge(Answer(200, good.substr(0, size)), Request());
    EXPECT_EQ(FailureOf(outcome).reason, Reason::kUpstreamInvalidResponse) << size;
  }
}

}  // namespace
}  // namespace tokend::upstream
