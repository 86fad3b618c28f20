#pragma once

#include <string>
#include <string_view>
#include <vector>

// Text for a terminal.
namespace tokend::client {

using Row = std::vector<std::string>;

// Replaces what a terminal would obey: control characters (C0, DEL, C1) by \xNN, and characters that turn the
// direction of text (U+202A to U+202E, U+2066 to U+2069) by \uNNNN.
std::string Printable(std::string_view utf8);

// Each column is as wide as its widest cell. The first row is the head. Cells are made Printable.
std::string Table(std::vector<Row> rows);

}  // namespace tokend::client
