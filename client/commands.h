#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

// Commands of tokenctl that ask no daemon.
namespace tokend::client {

enum class OutputForm { kText, kJson };

// Does the work and says how it ended (Exit). Errors go to standard error.
using OfflineCommand = std::function<int(OutputForm)>;

// Add `audit verify|find|unresolved` and `policy explain|replay`; the one that is given sets `command`.
void AddAuditCommands(CLI::App& app, OfflineCommand& command);
void AddPolicyCommands(CLI::App& app, OfflineCommand& command);

// "tokenctl: …", on standard error.
void PrintError(const std::string& text);

// All of it on standard output, or false.
bool Print(const std::string& text);

}  // namespace tokend::client
