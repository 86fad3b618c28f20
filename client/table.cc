#include "client/table.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace tokend::client {
namespace {

// The number of code points. That is the width on a terminal, except for East Asian text.
std::size_t Width(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// The bidirectional embedding, override or isolate (U+202A to U+202E, U+2066 to U+2069) at the text's begin,
// or 0. By these a text shows in another order than it has.
unsigned BidirectionalAt(std::string_view utf8) {
  const auto last = utf8.size() < 3 ? 0U : static_cast<unsigned char>(utf8[2]);
  if (utf8.starts_with("\xE2\x80") && last >= 0xAA && last <= 0xAE) return 0x2000U + (last & 0x3FU);
  if (utf8.starts_with("\xE2\x81") && last >= 0xA6 && last <= 0xA9) return 0x2040U + (last & 0x3FU);
  return 0;
}

std::string Blocks(const std::vector<Row>& rows) {
  std::string text;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (i > 1) text += "\n";
    for (std::size_t column = 0; column < rows[i].size(); ++column) {
      if (rows[i][column].empty()) continue;
      text += absl::AsciiStrToLower(rows.front()[column]) + ": " + rows[i][column] + "\n";
    }
  }
  return text;
}

}  // namespace

std::string Printable(std::string_view utf8) {
  std::string result;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    const auto next = i + 1 < utf8.size() ? static_cast<unsigned char>(utf8[i + 1]) : 0U;
    if (byte < 0x20 || byte == 0x7F) {
      absl::StrAppendFormat(&result, "\\x%02X", byte);
    } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {
      absl::StrAppendFormat(&result, "\\x%02X", next);
      ++i;
    } else if (const unsigned code_point = BidirectionalAt(utf8.substr(i)); code_point != 0) {
      absl::StrAppendFormat(&result, "\\u%04X", code_point);
      i += 2;
    } else {
      result += utf8[i];
    }
  }
  return result;
}

std::size_t TerminalWidth() {
  winsize size{};
  return isatty(STDOUT_FILENO) == 1 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string Table(std::vector<Row> rows, std::size_t width) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = Printable(row[i]);
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  std::size_t needed = widths.empty() ? 0 : 2 * (widths.size() - 1);
  for (const std::size_t column : widths) needed += column;
  if (width > 0 && needed > width) return Blocks(rows);
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(widths[i] - Width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string CsvLine(const Row& row) {
  std::string line;
  for (const std::string& cell : row) {
    const std::string text = Printable(cell);
    if (&cell != &row.front()) line += ',';
    if (text.find_first_of(",\"") == std::string::npos) {
      line += text;
      continue;
    }
    line += '"';
    for (const char c : text) line += c == '"' ? "\"\"" : std::string(1, c);
    line += '"';
  }
  return line + "\n";
}

std::string CsvHead(const Row& head) {
  Row names;
  for (const std::string& title : head) {
    names.push_back(absl::AsciiStrToLower(title));
    std::replace(names.back().begin(), names.back().end(), ' ', '_');
  }
  return CsvLine(names);
}

std::string Csv(const std::vector<Row>& rows) {
  std::string text = CsvHead(rows.front());
  for (std::size_t i = 1; i < rows.size(); ++i) text += CsvLine(rows[i]);
  return text;
}

}  // namespace tokend::client
