#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

// What a process that holds keys does first. Not thread-safe: call before there are other threads.
namespace tokend {

// Protects the process's memory: no core dumps, and other processes of the same user can neither trace it nor
// read /proc/PID/mem. OpenSSL wipes memory that it frees. A write to a closed pipe returns an error instead
// of raising SIGPIPE. Fails if standard input, output or error is closed: a file or socket that is opened
// later would get its number, and the bytes that were meant for it.
Status HardenProcess();

// Lets the process open as many descriptors as its hard limit allows.
void RaiseDescriptorLimit();

// The API key in the environment variable `name`, which is then neither set nor to be seen in
// /proc/PID/environ.
Result<Secret> TakeKeyFromEnvironment(const std::string& name);

}  // namespace tokend
