#pragma once

#include <string>
#include <string_view>
#include <vector>

// Text for a terminal and JSON for programs.
namespace tokend::client {

using Row = std::vector<std::string>;

// Control characters (C0, DEL, C1), which a terminal would obey, as \xNN.
std::string Printable(std::string_view utf8);

// Columns as wide as their widest cell; the first row is the head. Cells become printable.
std::string Table(std::vector<Row> rows);

// A JSON string, in its quotes.
std::string JsonQuote(const std::string& utf8);

}  // namespace tokend::client
