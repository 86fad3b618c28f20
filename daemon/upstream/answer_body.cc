#include "daemon/upstream/answer_body.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string_view>
#include <utility>

#include "daemon/base/form.h"

namespace tokend::upstream {
namespace {

namespace json = simdjson::ondemand;

// Of arrays and objects. Simdjson's own limit is 1,024.
constexpr int kMaxNesting = 1000;
constexpr std::size_t kMaxBearer = 128;

// Stands for an escaped character beyond ASCII. No text that the reader looks for holds it.
constexpr char kNotAscii = '\xff';

bool IsHexDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The character of "\uXXXX". `digits` begins with its four digits.
std::optional<char> UnescapeUnicode(std::string_view digits) {
  if (digits.size() < 4 || !std::all_of(digits.begin(), digits.begin() + 4, IsHexDigit)) return std::nullopt;
  unsigned code = 0;
  std::from_chars(digits.data(), digits.data() + 4, code, 16);
  return code < 0x80 ? static_cast<char>(code) : kNotAscii;
}

std::optional<char> UnescapeSimple(char c) {
  switch (c) {
    case '"':
    case '\\':
    case '/':
      return c;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return std::nullopt;
  }
}

// The JSON string that `text` begins with, without its opening quote; nothing if it has an invalid escape.
// The result is a Secret, because every string may be the bearer; simdjson's own buffer would not be wiped.
std::optional<Secret> Unescape(std::string_view text) {
  Secret result;
  result.Reserve(std::min(text.find('"'), text.size()));
  while (!text.empty() && text.front() != '"') {
    const std::size_t plain = std::min(text.find_first_of("\"\\"), text.size());
    result.Append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.size() < 2 || text.front() != '\\') continue;
    const bool unicode = text[1] == 'u';
    const std::optional<char> c = unicode ? UnescapeUnicode(text.substr(2)) : UnescapeSimple(text[1]);
    if (!c.has_value()) return std::nullopt;
    result.Append({&*c, 1});
    text.remove_prefix(unicode ? 6 : 2);
  }
  return result;
}

std::string_view TrimEnd(std::string_view text) {
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

// Takes the digits that `text` begins with; false if there are none.
bool TakeDigits(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), IsDigit);
  const bool any = end != text.begin();
  text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
  return any;
}

bool IsNumber(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const bool zero = text.starts_with('0');
  if (zero) {
    text.remove_prefix(1);
  } else if (!TakeDigits(text)) {
    return false;
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!TakeDigits(text)) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (!TakeDigits(text)) return false;
  }
  return text.empty();
}

bool IsBearer(std::string_view text) {
  return !text.empty() && text.size() <= kMaxBearer &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// Walks the whole document, because simdjson's On-Demand parser checks only the values that are read, and its
// other parser refuses numbers that a double cannot hold. Every function returns false at the first fault.
class Reader {
 public:
  Reader(std::string_view text, const std::vector<std::string>& asked_scopes, AnswerBody& body)
      : text_end_(text.data() + text.size()), asked_scopes_(asked_scopes), body_(body) {}

  bool ReadDocument(json::document& document) {
    json::object object;
    if (document.get_object().get(object) != simdjson::SUCCESS) return false;
    bool status = false, data = false, error = false;
    const bool read = ForEachField(object, [&](std::string_view key, json::value value) {
      if (key == "status" && First(status)) return ReadStatus(value);
      if (key == "data" && First(data)) return ReadData(value);
      if (key == "error" && First(error)) return ReadError(value);
      return Skip(value, 1);
    });
    const bool at_end = document.current_location().error() == simdjson::OUT_OF_BOUNDS;
    return read && at_end && !repeated_;
  }

 private:
  // False if this documented key was seen before in its object.
  bool First(bool& seen) {
    repeated_ = repeated_ || seen;
    return !std::exchange(seen, true);
  }

  // Calls `visit(key, value)` for each field until it is false.
  template <class Visit>
  bool ForEachField(json::object& object, Visit visit) {
    for (auto each : object) {
      json::field field;
      if (std::move(each).get(field) != simdjson::SUCCESS) return false;
      const std::optional<Secret> key = Unescape(From(field.key().raw()));
      if (!key.has_value() || !visit(key->Expose(), field.value())) return false;
    }
    return true;
  }

  template <class Visit>
  bool ForEachElement(json::array& array, Visit visit) {
    for (auto each : array) {
      json::value value;
      if (each.get(value) != simdjson::SUCCESS || !visit(value)) return false;
    }
    return true;
  }

  bool ReadStatus(json::value value) {
    const std::string_view token = TrimEnd(value.raw_json_token());
    body_.status = token == "true"    ? AnswerBody::Status::kTrue
                   : token == "false" ? AnswerBody::Status::kFalse
                                      : AnswerBody::Status::kOther;
    return Skip(value, 1);
  }

  bool ReadError(json::value value) {
    json::object object;
    if (!IsA(value, json::json_type::object)) return Skip(value, 1);
    if (value.get_object().get(object) != simdjson::SUCCESS) return false;
    bool code = false;
    return ForEachField(object, [&](std::string_view key, json::value field) {
      if (key == "code" && First(code)) return ReadCode(field);
      return Skip(field, 2);
    });
  }

  bool ReadCode(json::value value) {
    const std::string_view token = TrimEnd(value.raw_json_token());
    std::int64_t code = 0;
    const auto [end, fault] = std::from_chars(token.data(), token.data() + token.size(), code);
    const bool integer = fault == std::errc() && end == token.data() + token.size() && IsNumber(token);
    if (integer) body_.error_code = code;
    return Skip(value, 2);
  }

  bool ReadData(json::value value) {
    json::object object;
    if (!IsA(value, json::json_type::object)) return Skip(value, 1);
    if (value.get_object().get(object) != simdjson::SUCCESS) return false;
    bool id = false, organization = false, application = false, bearer = false, scopes = false;
    return ForEachField(object, [&](std::string_view key, json::value field) {
      if (key == "id" && First(id)) return ReadObjectId(field, body_.id);
      if (key == "organization" && First(organization)) return ReadObjectId(field, body_.organization);
      if (key == "application" && First(application)) return ReadObjectId(field, body_.application);
      if (key == "bearer" && First(bearer)) return ReadBearer(field);
      if (key == "scopes" && First(scopes)) return ReadScopes(field);
      return Skip(field, 2);
    });
  }

  bool ReadObjectId(json::value value, std::optional<std::string>& id) {
    id.emplace();
    if (!IsA(value, json::json_type::string)) return Skip(value, 2);
    const std::optional<Secret> text = ReadString(value);
    if (!text.has_value()) return false;
    if (IsObjectId(text->Expose())) id.emplace(text->Expose());
    return true;
  }

  bool ReadBearer(json::value value) {
    if (!IsA(value, json::json_type::string)) return Skip(value, 2);
    const std::optional<Secret> text = ReadString(value);
    if (!text.has_value()) return false;
    if (IsBearer(text->Expose())) body_.bearer.emplace(text->Expose());
    return true;
  }

  bool ReadScopes(json::value value) {
    body_.scopes_kind = AnswerBody::Scopes::kOther;
    json::array array;
    if (!IsA(value, json::json_type::array)) return Skip(value, 2);
    if (value.get_array().get(array) != simdjson::SUCCESS) return false;
    std::vector<bool> named(asked_scopes_.size());
    bool all_asked = true;
    const bool read = ForEachElement(array, [&](json::value element) {
      if (!IsA(element, json::json_type::string)) {
        all_asked = false;
        return Skip(element, 3);
      }
      const std::optional<Secret> text = ReadString(element);
      if (!text.has_value()) return false;
      const auto asked = std::find(asked_scopes_.begin(), asked_scopes_.end(), text->Expose());
      if (asked == asked_scopes_.end()) {
        all_asked = false;
      } else {
        named[static_cast<std::size_t>(asked - asked_scopes_.begin())] = true;
      }
      return true;
    });
    if (!read) return false;
    if (all_asked) body_.scopes_kind = AnswerBody::Scopes::kAsked;
    for (std::size_t i = 0; i < named.size(); ++i) {
      if (named[i]) body_.scopes.push_back(asked_scopes_[i]);
    }
    return true;
  }

  std::optional<Secret> ReadString(json::value value) {
    json::raw_json_string raw;
    if (value.get_raw_json_string().get(raw) != simdjson::SUCCESS) return std::nullopt;
    return Unescape(From(raw.raw()));
  }

  // Judges a value that nobody asked for. `nesting` is how many arrays and objects it stands in.
  bool Skip(json::value value, int nesting) {
    if (nesting > kMaxNesting) return false;
    json::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return false;
    switch (type) {
      case json::json_type::array: {
        json::array array;
        return value.get_array().get(array) == simdjson::SUCCESS &&
               ForEachElement(array, [&](json::value element) { return Skip(element, nesting + 1); });
      }
      case json::json_type::object: {
        json::object object;
        return value.get_object().get(object) == simdjson::SUCCESS &&
               ForEachField(object,
                            [&](std::string_view, json::value field) { return Skip(field, nesting + 1); });
      }
      case json::json_type::string:
        return ReadString(value).has_value();
      default:
        return IsLiteralOrNumber(TrimEnd(value.raw_json_token()));
    }
  }

  static bool IsLiteralOrNumber(std::string_view token) {
    return token == "true" || token == "false" || token == "null" || IsNumber(token);
  }

  static bool IsA(json::value& value, json::json_type type) {
    json::json_type actual{};
    return value.type().get(actual) == simdjson::SUCCESS && actual == type;
  }

  std::string_view From(const char* begin) const {
    return {begin, static_cast<std::size_t>(text_end_ - begin)};
  }

  const char* text_end_;
  const std::vector<std::string>& asked_scopes_;
  AnswerBody& body_;
  bool repeated_ = false;
};

}  // namespace

AnswerBody ReadAnswerBody(const Secret& body, const std::vector<std::string>& asked_scopes) {
  static constexpr char kPadding[simdjson::SIMDJSON_PADDING] = {};
  Secret padded;
  padded.Reserve(body.size() + sizeof kPadding);
  padded.Append(body.Expose());
  padded.Append({kPadding, sizeof kPadding});
  const std::string_view text = padded.Expose().substr(0, body.size());

  AnswerBody result;
  json::parser parser;
  json::document document;
  const simdjson::padded_string_view view(text.data(), text.size(), padded.size());
  if (parser.iterate(view).get(document) != simdjson::SUCCESS) return result;
  result.valid = Reader(text, asked_scopes, result).ReadDocument(document);
  return result;
}

}  // namespace tokend::upstream
