#include "daemon/upstream/answer_body.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "daemon/base/form.h"

namespace tokend::upstream {
namespace {

namespace json = simdjson::ondemand;

// Of arrays and objects. Simdjson's own limit is 1,024.
constexpr int kMaxNesting = 1000;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // in UTF-8

// The parser keeps its memory from answer to answer, for texts of up to this many bytes.
constexpr std::size_t kMaxKeptCapacity = std::size_t{16} * 1024;

// Stands for an escaped character beyond ASCII. No text that the reader looks for holds it.
constexpr char kNotAscii = '\xff';

// The character of "\uXXXX". `digits` begins with its four digits.
std::optional<char> UnescapeUnicode(std::string_view digits) {
  if (digits.size() < 4) return std::nullopt;
  const char* const end = digits.data() + 4;
  unsigned code = 0;
  if (std::from_chars(digits.data(), end, code, 16).ptr != end) return std::nullopt;
  return code < 0x80 ? static_cast<char>(code) : kNotAscii;
}

std::optional<char> UnescapeSimple(char c) {
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const std::size_t at = kEscapes.find(c);
  return at == std::string_view::npos ? std::nullopt : std::optional(kMeanings[at]);
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

// Takes one character that `text` begins with, if it is one of these.
bool Take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// Takes the digits that `text` begins with; false if there are none.
bool TakeDigits(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), absl::ascii_isdigit);
  const bool any = end != text.begin();
  text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
  return any;
}

bool IsNumber(std::string_view text) {
  Take(text, "-");
  if (!Take(text, "0") && !TakeDigits(text)) return false;
  if (Take(text, ".") && !TakeDigits(text)) return false;
  if (Take(text, "eE")) {
    Take(text, "+-");
    if (!TakeDigits(text)) return false;
  }
  return text.empty();
}

// Walks the whole document, because simdjson's On-Demand parser checks only the values that are read, and its
// other parser refuses numbers that a double cannot hold. Every function returns false at the first fault.
class Reader {
 public:
  Reader(std::string_view text, const std::vector<std::string>& asked_scopes, AnswerBody& body)
      : text_end_(text.data() + text.size()), asked_scopes_(asked_scopes), body_(body) {}

  bool ReadDocument(json::document& document) {
    bool status = false, data = false, error = false;
    const bool read = ForEachField(document, [&](std::string_view key, json::value value) {
      if (key == "status" && First(status)) return ReadStatus(value);
      if (key == "data" && First(data)) return ReadData(value);
      if (key == "error" && First(error)) return ReadError(value);
      return Skip(value, 1);
    });
    return read && !repeated_ && document.current_location().error() == simdjson::OUT_OF_BOUNDS;
  }

 private:
  // False if this documented key was seen before in its object.
  bool First(bool& seen) {
    repeated_ = repeated_ || seen;
    return !std::exchange(seen, true);
  }

  // Calls `visit(key, value)` for each field of an object until it is false.
  template <class Value, class Visit>
  bool ForEachField(Value& value, Visit visit) {
    json::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) return false;
    for (auto each : object) {
      json::field field;
      if (std::move(each).get(field) != simdjson::SUCCESS) return false;
      const std::optional<Secret> key = Unescape(From(field.key().raw()));
      if (!key.has_value() || !visit(key->Expose(), field.value())) return false;
    }
    return true;
  }

  template <class Visit>
  bool ForEachElement(json::value& value, Visit visit) {
    json::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) return false;
    for (auto each : array) {
      json::value element;
      if (each.get(element) != simdjson::SUCCESS || !visit(element)) return false;
    }
    return true;
  }

  bool ReadStatus(json::value value) {
    const std::string_view token = TrimEnd(value.raw_json_token());
    if (token == "true" || token == "false") body_.status = token == "true";
    return Skip(value, 1);
  }

  bool ReadError(json::value value) {
    if (!IsA(value, json::json_type::object)) return Skip(value, 1);
    bool code = false;
    return ForEachField(value, [&](std::string_view key, json::value field) {
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
    if (!IsA(value, json::json_type::object)) return Skip(value, 1);
    bool id = false, organization = false, application = false, bearer = false, scopes = false;
    return ForEachField(value, [&](std::string_view key, json::value field) {
      if (key == "id" && First(id)) return ReadObjectId(field, body_.token.id);
      if (key == "organization" && First(organization)) return ReadObjectId(field, body_.token.organization);
      if (key == "application" && First(application)) return ReadObjectId(field, body_.token.application);
      if (key == "bearer" && First(bearer)) return ReadBearer(field);
      if (key == "scopes" && First(scopes)) return ReadScopes(field);
      return Skip(field, 2);
    });
  }

  bool ReadObjectId(json::value value, std::optional<std::string>& id) {
    id.emplace();
    return ReadText(value, 2, [&](std::string_view text) {
      if (IsObjectId(text)) id.emplace(text);
    });
  }

  bool ReadBearer(json::value value) {
    return ReadText(value, 2, [&](std::string_view text) {
      if (IsBearer(text)) body_.token.bearer.emplace(text);
    });
  }

  bool ReadScopes(json::value value) {
    body_.token.scopes_kind = AnsweredToken::Scopes::kOther;
    if (!IsA(value, json::json_type::array)) return Skip(value, 2);
    std::vector<bool> named(asked_scopes_.size());
    bool all_asked = true;
    const bool read = ForEachElement(value, [&](json::value element) {
      std::size_t asked = named.size();
      const bool valid = ReadText(element, 3, [&](std::string_view text) {
        const auto found = std::find(asked_scopes_.begin(), asked_scopes_.end(), text);
        asked = static_cast<std::size_t>(found - asked_scopes_.begin());
      });
      if (asked < named.size()) named[asked] = true;
      all_asked = all_asked && asked < named.size();
      return valid;
    });
    if (!read) return false;
    if (all_asked) body_.token.scopes_kind = AnsweredToken::Scopes::kAsked;
    for (std::size_t i = 0; i < named.size(); ++i) {
      if (named[i]) body_.token.scopes.push_back(asked_scopes_[i]);
    }
    return true;
  }

  // Gives the text of a string to `use`. Skips a value of another kind.
  template <class Use>
  bool ReadText(json::value value, int nesting, Use use) {
    if (!IsA(value, json::json_type::string)) return Skip(value, nesting);
    json::raw_json_string raw;
    if (value.get_raw_json_string().get(raw) != simdjson::SUCCESS) return false;
    const std::optional<Secret> text = Unescape(From(raw.raw()));
    if (text.has_value()) use(text->Expose());
    return text.has_value();
  }

  // Judges a value that nobody asked for. `nesting` is how many arrays and objects it stands in.
  bool Skip(json::value value, int nesting) {
    if (nesting > kMaxNesting) return false;
    json::json_type type{};
    if (value.type().get(type) != simdjson::SUCCESS) return false;
    switch (type) {
      case json::json_type::array:
        return ForEachElement(value, [&](json::value element) { return Skip(element, nesting + 1); });
      case json::json_type::object:
        return ForEachField(value,
                            [&](std::string_view, json::value field) { return Skip(field, nesting + 1); });
      case json::json_type::string:
        return ReadText(value, nesting, [](std::string_view) {});
      default:
        break;
    }
    const std::string_view token = TrimEnd(value.raw_json_token());
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

// It holds positions in the last text, and no character of it: its buffer of unescaped strings stays unused.
json::parser& KeptParser() {
  thread_local json::parser parser;
  if (parser.capacity() > kMaxKeptCapacity) parser = json::parser();
  return parser;
}

}  // namespace

AnswerBody ReadAnswerBody(const Secret& body, const std::vector<std::string>& asked_scopes) {
  static constexpr char kPadding[simdjson::SIMDJSON_PADDING] = {};
  Secret padded;
  padded.Reserve(body.size() + sizeof kPadding);
  padded.Append(body.Expose());
  padded.Append({kPadding, sizeof kPadding});
  std::string_view text = padded.Expose().substr(0, body.size());
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());

  AnswerBody result;
  json::document document;
  const simdjson::padded_string_view view(text.data(), text.size(), text.size() + sizeof kPadding);
  if (KeptParser().iterate(view).get(document) != simdjson::SUCCESS) return result;
  result.valid = Reader(text, asked_scopes, result).ReadDocument(document);
  return result;
}

}  // namespace tokend::upstream
