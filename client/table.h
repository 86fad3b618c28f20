#pragma once

#include <string>
#include <string_view>
#include <vector>

// Text for a terminal.
namespace tokend::client {

using Row = std::vector<std::string>;

// Replaces control characters (C0, DEL, C1), which a terminal would obey, by \xNN.
std::string Printable(std::string_view utf8);

// Each column is as wide as its widest cell. The first row is the head. Cells are made Printable.
std::string Table(std::vector<Row> rows);

}  // namespace tokend::client
