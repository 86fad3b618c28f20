#pragma once

#include <concepts>
#include <string>
#include <string_view>

// The project's one writer of JSON (RFC 8259). Results are valid UTF-8 on one line, whatever the texts hold.
namespace tokend {

// Appends the text as a JSON string. Each byte that is not part of valid UTF-8 becomes U+FFFD. Control
// characters, and the other characters that some readers take for the end of a line, are escaped.
void AppendJson(std::string_view text, std::string& out);

// JSON has no word for a number that is not finite: such a number becomes null.
void AppendJson(double number, std::string& out);
template <std::integral T>
void AppendJson(T value, std::string& out) {
  if constexpr (std::same_as<T, bool>) {
    out += value ? "true" : "false";
  } else {
    out += std::to_string(value);
  }
}

// Writes one object to the end of `out`, which must outlive it.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  void End() { out_ += '}'; }

  // Writes a member. Keys are the project's own words, without characters that JSON escapes.
  template <class T>
  void Member(std::string_view key, const T& value) {
    Key(key);
    AppendJson(value, out_);
  }
  // Writes a member whose value is JSON already.
  void RawMember(std::string_view key, std::string_view json) {
    Key(key);
    out_ += json;
  }

  // Write a member, unless its value is empty: "", 0, {} or [].
  void Text(std::string_view key, std::string_view value) {
    if (!value.empty()) Member(key, value);
  }
  template <std::integral T>
  void Number(std::string_view key, T value) {
    if (value != 0) Member(key, value);
  }
  // The value is an object, or with JsonArray an array, that `fill` writes: fill(JsonObject&).
  template <class Container = JsonObject, class Fill>
  void Nested(std::string_view key, Fill fill) {
    const std::size_t before = out_.size();
    Key(key);
    Container container(out_);
    const std::size_t empty = out_.size();
    fill(container);
    container.End();
    if (out_.size() == empty + 1) out_.resize(before);
  }

 private:
  void Key(std::string_view key) {
    if (out_.back() != '{') out_ += ',';
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }

  std::string& out_;
};

// Writes one array to the end of `out`, which must outlive it.
class JsonArray {
 public:
  explicit JsonArray(std::string& out) : out_(out) { out_ += '['; }
  void End() { out_ += ']'; }

  template <class T>
  void Element(const T& value) {
    Separate();
    AppendJson(value, out_);
  }
  // Adds a value that is JSON already.
  void RawElement(std::string_view json) {
    Separate();
    out_ += json;
  }

 private:
  void Separate() {
    if (out_.back() != '[') out_ += ',';
  }

  std::string& out_;
};

}  // namespace tokend
