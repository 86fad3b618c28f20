#pragma once

#include <string>

#include "client/exit.h"

// What all commands of tokenctl share.
namespace tokend::client {

enum class OutputForm { kText, kCsv, kJson };

// Writes "tokenctl: ", the text and a newline to standard error.
void PrintError(const std::string& text);

// The same for wrong arguments or a wrong configuration. Returns kUsage.
Exit UsageError(const std::string& text);

// Writes all of the text to standard output, or returns false.
bool Print(const std::string& text);

}  // namespace tokend::client
