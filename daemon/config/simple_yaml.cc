#include "daemon/config/simple_yaml.h"

#include <yaml-cpp/mark.h>

#include <cstddef>
#include <string>

#include "daemon/base/text.h"

namespace tokend::config {
namespace {

using Style = YAML::EmitterStyle;

// yaml-cpp's tags of texts without and with quotes.
constexpr char kPlain[] = "?";
constexpr char kQuoted[] = "!";

bool IsWord(char c) { return IsAlphanumeric(c) || c == '_'; }

// A character that means nothing to YAML within a plain text, wherever it stands there.
bool IsHarmless(char c) { return IsWord(c) || Contains("./*+=@~-", c); }

bool IsNull(std::string_view text) { return Contains(text, '~') || Lower(text) == "null"; }

// Each function that reads something begins at its first character, and ends behind its last one. It returns
// false where it does not know what YAML makes of the text.
class SimpleReader {
 public:
  SimpleReader(std::string_view text, YAML::EventHandler& events) : text_(text), events_(events) {}

  bool ReadDocument() {
    for (const char c : text_) {
      if (c != '\n' && (c < ' ' || c > '~')) return false;
    }
    if (!SkipToToken() || column_ != 0) return false;
    events_.OnDocumentStart(Here());
    if (!ReadBlockMapping(kMostDepth) || at_ != text_.size()) return false;
    events_.OnDocumentEnd();
    return true;
  }

 private:
  static constexpr int kMostDepth = 16;

  char Peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\n'; }

  YAML::Mark Here() const {
    YAML::Mark mark;
    mark.pos = static_cast<int>(at_);
    mark.line = line_;
    mark.column = column_;
    return mark;
  }

  void Skip(std::size_t count) {
    at_ += count;
    column_ += static_cast<int>(count);
  }
  void SkipSpaces() {
    while (Peek() == ' ') Skip(1);
  }

  // Skips the rest of a line that has nothing more, or a comment behind a blank.
  bool SkipLineEnd() {
    const std::size_t before = at_;
    SkipSpaces();
    if (Peek() == '#' && (at_ > before || column_ == 0)) {
      while (Peek() != '\n') Skip(1);
    }
    if (Peek() != '\n') return false;
    if (at_ < text_.size()) ++at_;
    ++line_;
    column_ = 0;
    return true;
  }

  // To the next token, on this line or a later one. False at the end of the text.
  bool SkipToToken() {
    while (at_ < text_.size()) {
      SkipSpaces();
      if (Peek() != '#' && Peek() != '\n') return true;
      if (!SkipLineEnd()) return false;
    }
    return false;
  }

  // The length of a plain key and nothing else before its colon; 0: there is none.
  std::size_t KeyLength() const {
    std::size_t length = 0;
    while (IsWord(Peek(length))) ++length;
    const bool is_key = Peek(length) == ':' && (Peek(length + 1) == ' ' || Peek(length + 1) == '\n');
    return is_key && !IsNull(text_.substr(at_, length)) ? length : 0;
  }

  bool ReadKey() {
    const std::size_t length = KeyLength();
    if (length == 0) return false;
    events_.OnScalar(Here(), kPlain, 0, std::string(text_.substr(at_, length)));
    Skip(length + 1);
    return true;
  }

  bool IsItem() const { return Peek() == '-' && (Peek(1) == ' ' || Peek(1) == '\n'); }

  // All keys from here on that stand in this column.
  bool ReadBlockMapping(int depth) {
    const int column = column_;
    if (depth == 0 || KeyLength() == 0) return false;
    events_.OnMapStart(Here(), kPlain, 0, Style::Block);
    do {
      if (!ReadKey() || !ReadBlockValue(column, depth)) return false;
    } while (column_ == column && at_ < text_.size() && !IsItem());
    if (column_ > column) return false;
    events_.OnMapEnd();
    return true;
  }

  // `column`: of the key. A list may stand in the key's column.
  bool ReadBlockValue(int column, int depth) {
    SkipSpaces();
    if (Peek() != '\n' && Peek() != '#') return ReadLine(column, depth);
    if (!SkipLineEnd() || !SkipToToken() || column_ < column) return false;
    if (IsItem()) return ReadBlockList(column, depth - 1);
    return column_ > column && ReadBlockMapping(depth - 1);
  }

  bool ReadBlockList(int column_of_key, int depth) {
    const int column = column_;
    if (depth == 0) return false;
    events_.OnSequenceStart(Here(), kPlain, 0, Style::Block);
    do {
      Skip(1);
      SkipSpaces();
      const bool is_read = KeyLength() > 0 ? ReadBlockMapping(depth - 1) : ReadLine(column, depth);
      if (!is_read) return false;
    } while (column_ == column && at_ < text_.size() && IsItem());
    const bool is_end = column_ < column || (column_ == column && column == column_of_key);
    if (!is_end && at_ < text_.size()) return false;
    events_.OnSequenceEnd();
    return true;
  }

  // One value that ends with its line or, in brackets, with a later one. `column`: what lies further to the
  // right than this would belong to the value.
  bool ReadLine(int column, int depth) {
    const bool is_read = IsFlow() ? ReadFlow(depth - 1) : ReadText(false);
    if (!is_read || !SkipLineEnd()) return false;
    SkipToToken();
    if (at_ == text_.size()) column_ = 0;
    return column_ <= column;
  }

  bool IsFlow() const { return Peek() == '[' || Peek() == '{'; }

  bool ReadFlow(int depth) {
    if (depth <= 0) return false;
    const bool is_list = Peek() == '[';
    const char end = is_list ? ']' : '}';
    if (is_list) {
      events_.OnSequenceStart(Here(), kPlain, 0, Style::Flow);
    } else {
      events_.OnMapStart(Here(), kPlain, 0, Style::Flow);
    }
    do {
      Skip(1);
      if (!SkipToToken()) return false;
      if (Peek() == end && text_[at_ - 1] == (is_list ? '[' : '{')) break;
      if (!is_list && !ReadFlowKey()) return false;
      if (!(IsFlow() ? ReadFlow(depth - 1) : ReadText(true))) return false;
      SkipSpaces();
    } while (Peek() == ',');
    if (Peek() != end) return false;
    Skip(1);
    if (is_list) {
      events_.OnSequenceEnd();
    } else {
      events_.OnMapEnd();
    }
    return true;
  }

  bool ReadFlowKey() {
    if (!ReadKey() || Peek() != ' ') return false;
    SkipSpaces();
    return true;
  }

  bool ReadText(bool in_flow) { return Contains("\"'", Peek()) ? ReadQuoted() : ReadPlain(in_flow); }

  bool ReadQuoted() {
    const char quote = Peek();
    const YAML::Mark mark = Here();
    Skip(1);
    const std::size_t begin = at_;
    while (Peek() != quote) {
      if (Peek() == '\n' || (quote == '"' && Peek() == '\\')) return false;
      Skip(1);
    }
    const std::string text(text_.substr(begin, at_ - begin));
    Skip(1);
    if (Peek() == quote || Peek() == ':') return false;
    events_.OnScalar(mark, kQuoted, 0, text);
    return true;
  }

  bool ReadPlain(bool in_flow) {
    if (!IsWord(Peek()) && Peek() != '/') return false;
    const YAML::Mark mark = Here();
    const std::size_t begin = at_;
    std::size_t end = at_;
    while (true) {
      const bool is_colon = Peek() == ':' && (IsAlphanumeric(Peek(1)) || Peek(1) == '/');
      if (!IsHarmless(Peek()) && !is_colon && Peek() != ' ') break;
      Skip(1);
      if (text_[at_ - 1] != ' ') end = at_;
    }
    const bool is_end = in_flow ? Contains(",]}", Peek()) : Peek() == '\n' || (Peek() == '#' && end < at_);
    const std::string text(text_.substr(begin, end - begin));
    if (!is_end || IsNull(text)) return false;
    column_ -= static_cast<int>(at_ - end);
    at_ = end;
    events_.OnScalar(mark, kPlain, 0, text);
    return true;
  }

  const std::string_view text_;
  YAML::EventHandler& events_;
  std::size_t at_ = 0;
  int line_ = 0;    // counted from 0, as yaml-cpp's marks
  int column_ = 0;  // likewise
};

}  // namespace

bool ReadSimpleYaml(std::string_view text, YAML::EventHandler& events) {
  return SimpleReader(text, events).ReadDocument();
}

}  // namespace tokend::config
