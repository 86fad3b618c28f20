#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

// Text for a terminal, and lists for programs.
namespace tokend::client {

using Row = std::vector<std::string>;

// Replaces what a terminal would obey: control characters (C0, DEL, C1) by \xNN, and characters that turn the
// direction of text (U+202A to U+202E, U+2066 to U+2069) by \uNNNN.
std::string Printable(std::string_view utf8);

// The columns of the terminal that standard output is, or 0 where it is none.
std::size_t TerminalWidth();

// Each column is as wide as its widest cell. The first row is the head. Cells are made Printable. A table
// that is wider than `width` columns (0: any width) becomes one block a row, with a line for each cell that
// is not empty.
std::string Table(std::vector<Row> rows, std::size_t width = TerminalWidth());

// One line of CSV (RFC 4180, but with a bare newline). Cells are made Printable.
std::string CsvLine(const Row& row);

// The head of a table as a line of CSV: "REQUEST ID" becomes request_id.
std::string CsvHead(const Row& head);

// The rows as CSV. The first row is the head.
std::string Csv(const std::vector<Row>& rows);

}  // namespace tokend::client
