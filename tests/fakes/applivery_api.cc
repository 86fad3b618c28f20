#include "tests/fakes/applivery_api.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace tokend::fakes {
namespace {

constexpr std::size_t kMaxDescriptionUtf16 = 1000;

bool IsName(std::string_view text) {
  return text.size() >= 3 && std::all_of(text.begin(), text.end(),
                                         [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
}

bool Consume(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string_view TakeSegment(std::string_view& path) {
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

// Expects valid UTF-8. A sequence of four bytes counts as two units: a surrogate pair.
std::size_t Utf16Length(std::string_view utf8) {
  std::size_t units = 0;
  for (const char byte : utf8) {
    const auto c = static_cast<unsigned char>(byte);
    if ((c & 0xC0U) != 0x80U) units += c >= 0xF0U ? 2 : 1;
  }
  return units;
}

std::optional<std::vector<std::string>> Strings(simdjson::dom::element value) {
  simdjson::dom::array array;
  if (value.get(array) != simdjson::SUCCESS) return std::nullopt;
  std::vector<std::string> strings;
  for (const simdjson::dom::element element : array) {
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) return std::nullopt;
    strings.emplace_back(text);
  }
  return strings;
}

constexpr std::array<std::pair<int, std::string_view>, 8> kMessages = {{
    {3001, "Entity not found"},
    {3002, "Token expired"},
    {4001, "Unauthorized"},
    {4002, "No auth token"},
    {4004, "Invalid Token"},
    {5003, "Limit exceeded"},
    {5004, "Not included in the plan"},
    {5014, "Invalid body"},
}};

}  // namespace

std::optional<TokensRoute> ParseTokensRoute(std::string_view path) {
  if (!Consume(path, "/v1/organizations/")) return std::nullopt;
  const std::string_view organization = TakeSegment(path);
  if (!Consume(path, "/apps/")) return std::nullopt;
  const std::string_view application = TakeSegment(path);
  if (path != "/tokens" || !IsName(organization) || !IsName(application)) return std::nullopt;
  return TokensRoute{std::string(organization), std::string(application)};
}

struct TokenFieldsParser::Impl {
  simdjson::dom::parser parser;
};

TokenFieldsParser::TokenFieldsParser() : impl_(std::make_unique<Impl>()) {}
TokenFieldsParser::~TokenFieldsParser() = default;

std::optional<TokenFields> TokenFieldsParser::Parse(std::string_view json) {
  simdjson::dom::object object;
  if (impl_->parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS) return std::nullopt;
  TokenFields fields;
  for (const auto& [key, value] : object) {
    if (key == "description" && !fields.description) {
      std::string_view text;
      if (value.get(text) != simdjson::SUCCESS || Utf16Length(text) > kMaxDescriptionUtf16)
        return std::nullopt;
      fields.description = text;
    } else if (key == "scopes" && !fields.scopes) {
      fields.scopes = Strings(value);
      if (!fields.scopes) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  return fields;
}

std::string JsonEscaped(std::string_view utf8) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string json;
  json.reserve(utf8.size());
  for (const char byte : utf8) {
    const auto c = static_cast<unsigned char>(byte);
    if (c == '"' || c == '\\') {
      json += '\\';
      json += byte;
    } else if (c < 0x20) {
      json += "\\u00";
      json += kHex[c >> 4U];
      json += kHex[c & 0xFU];
    } else {
      json += byte;
    }
  }
  return json;
}

std::string JsonArray(const std::vector<std::string>& strings) {
  std::string json = "[";
  for (const std::string& text : strings) {
    if (json.size() > 1) json += ',';
    json += '"' + JsonEscaped(text) + '"';
  }
  return json + "]";
}

std::string ErrorBody(int code) {
  const auto* const found = std::find_if(kMessages.begin(), kMessages.end(),
                                         [code](const auto& entry) { return entry.first == code; });
  const std::string_view message = found == kMessages.end() ? "Error" : found->second;
  return R"({"status":false,"error":{"code":)" + std::to_string(code) + R"(,"message":")" +
         std::string(message) + R"("}})";
}

}  // namespace tokend::fakes
