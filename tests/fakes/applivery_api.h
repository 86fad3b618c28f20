#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The vendor's page as pure functions.
namespace tokend::fakes {

struct TokensRoute {
  std::string organization;
  std::string application;
};

// /v1/organizations/{organization}/apps/{application}/tokens, with names as the page has them.
std::optional<TokensRoute> ParseTokensRoute(std::string_view path);

struct TokenFields {
  std::optional<std::string> description;
  std::optional<std::vector<std::string>> scopes;
};

// A JSON object of nothing but a description (a string of at most 1000 UTF-16 units) and scopes (an array of
// strings), each at most once; nothing if it is anything else. One thread at a time.
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

// The inside of a JSON string.
std::string JsonEscaped(std::string_view utf8);
std::string JsonArray(const std::vector<std::string>& strings);

// {"status":false,"error":{…}} with the code's message.
std::string ErrorBody(int code);

}  // namespace tokend::fakes
