#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

// What a process that holds keys does first. Not thread-safe: call before there are other threads.
namespace tokend {

// Keeps the process's memory to itself: no core dumps, no tracing or /proc/PID/mem by other processes of the
// same user. A closed pipe is then an error to whoever writes, no longer a signal. Refuses to go on where
// standard input, output or error is closed: a file or socket opened later would take its place and its
// bytes.
Status HardenProcess();

// The API key in the environment variable `name`, which is then neither set nor to be seen in
// /proc/PID/environ.
Result<Secret> TakeKeyFromEnvironment(const std::string& name);

}  // namespace tokend
