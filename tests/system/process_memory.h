#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace tokend::system {

// How often the text occurs in the writable memory of a process. Only root can read it.
std::size_t CountInMemory(pid_t pid, const std::string& text);

}  // namespace tokend::system
