#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

// The first steps of a process that holds keys. Not thread-safe: call these before other threads start.
namespace tokend {

// Protects the memory of the process: turns off core dumps, ptrace and /proc/PID/mem for other processes of
// the same user, and makes OpenSSL wipe memory before it frees it. Ignores SIGPIPE, so that a write to a
// closed pipe returns an error. Fails if standard input, output or error is closed: a file or socket opened
// later would get its descriptor and the bytes meant for it.
Status HardenProcess();

// Raises the soft limit of open descriptors to the hard limit.
void RaiseDescriptorLimit();

// Takes the API key out of the environment variable `name`: unsets the variable and wipes its value, so that
// it is gone from /proc/PID/environ too.
Result<Secret> TakeKeyFromEnvironment(const std::string& name);

}  // namespace tokend
