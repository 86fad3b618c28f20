#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The rules on Applivery's API page, as pure functions.
namespace tokend::fakes {

struct TokensRoute {
  std::string organization;
  std::string application;
};

// Parses /v1/organizations/{organization}/apps/{application}/tokens, where the names have the form that the
// page allows.
std::optional<TokensRoute> ParseTokensRoute(std::string_view path);

struct TokenFields {
  std::optional<std::string> description;
  std::optional<std::vector<std::string>> scopes;
};

// Parses a JSON object that has at most a description (a string of at most 1000 UTF-16 units) and scopes (an
// array of strings), each at most once. Returns nothing for any other text. Only one thread at a time may use
// a parser.
class TokenFieldsParser {
 public:
  TokenFieldsParser();
  ~TokenFieldsParser();
  TokenFieldsParser(const TokenFieldsParser&) = delete;
  TokenFieldsParser& operator=(const TokenFieldsParser&) = delete;

  std::optional<TokenFields> Parse(std::string_view json);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The text escaped for a JSON string, without the quotes.
std::string JsonEscaped(std::string_view utf8);
std::string JsonArray(const std::vector<std::string>& strings);

// {"status":false,"error":{…}} with this code and its message.
std::string ErrorBody(int code);

}  // namespace tokend::fakes
