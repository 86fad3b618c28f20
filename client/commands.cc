#include "client/commands.h"

#include <cstdio>

namespace tokend::client {

void PrintError(const std::string& text) { std::fputs(("tokenctl: " + text + "\n").c_str(), stderr); }

Exit UsageError(const std::string& text) {
  PrintError(text);
  return kUsage;
}

bool Print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

}  // namespace tokend::client
