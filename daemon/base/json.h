#pragma once

#include <string>
#include <string_view>

// Writing JSON (RFC 8259). Pure functions of text.
namespace tokend {

// Appends the text as a JSON string. Bytes that are not UTF-8 become U+FFFD. Control characters (C0 and C1)
// are escaped, and so are U+2028 and U+2029: some readers take them for the end of a line.
void AppendJsonString(std::string_view text, std::string& out);

// Writes one object's members; those that have nothing to say are left out. `out` must outlive it.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  void End() { out_ += '}'; }

  void Text(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    Key(key);
    AppendJsonString(value, out_);
  }

  template <class Integer>
  void Number(std::string_view key, Integer value) {
    if (value == 0) return;
    Raw(key, std::to_string(value));
  }

  // `json` is written as it is.
  void Raw(std::string_view key, std::string_view json) {
    if (json.empty() || json == "{}" || json == "[]") return;
    Key(key);
    out_ += json;
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

}  // namespace tokend
