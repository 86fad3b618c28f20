#include "daemon/base/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "daemon/base/form.h"

namespace tokend {
namespace {

// Returns the valid UTF-8 sequence at the beginning of `text`, or nothing where the text begins otherwise.
std::string_view FirstCharacter(std::string_view text) {
  for (std::size_t length = 1; length <= 4 && length <= text.size(); ++length) {
    if (Utf16Length(text.substr(0, length))) return text.substr(0, length);
  }
  return {};
}

void AppendEscape(unsigned code, std::string& out) {
  const std::array<char, 2> bytes = {static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
  out += "\\u";
  out += Hex({bytes.data(), bytes.size()});
}

// Whether the byte stands in JSON as it is.
bool IsPlain(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code >= 0x20 && code < 0x7F && c != '"' && c != '\\';
}

// A byte of ASCII that is not plain.
void AppendSpecial(char c, std::string& out) {
  if (c == '"' || c == '\\') {
    out += '\\';
    out += c;
  } else {
    AppendEscape(static_cast<unsigned char>(c), out);
  }
}

// Some readers end a line at U+0085, U+2028 or U+2029. These, and all of U+0080 to U+009F, are escaped as the
// control characters of ASCII are.
void AppendOther(std::string_view character, std::string& out) {
  const auto last = static_cast<unsigned char>(character.back());
  if (character[0] == '\xC2' && last < 0xA0) {
    AppendEscape(last, out);
  } else if (character == "\xE2\x80\xA8" || character == "\xE2\x80\xA9") {
    AppendEscape(0x2000U + (last & 0x3FU), out);
  } else {
    out += character;
  }
}

}  // namespace

void AppendJson(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    // Nearly all texts are plain, and a copy of many bytes is cheaper than many copies of one.
    const auto* const special = std::find_if_not(text.begin(), text.end(), IsPlain);
    const auto plain = static_cast<std::size_t>(special - text.begin());
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      AppendSpecial(text[0], out);
      text.remove_prefix(1);
      continue;
    }
    const std::string_view character = FirstCharacter(text);
    if (character.empty()) {
      out += "\uFFFD";
      text.remove_prefix(1);
    } else {
      AppendOther(character, out);
      text.remove_prefix(character.size());
    }
  }
  out += '"';
}

void AppendJson(double number, std::string& out) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

}  // namespace tokend
