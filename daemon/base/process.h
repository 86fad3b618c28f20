#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

// What a process that holds keys does first. Not thread-safe: call before there are other threads.
namespace tokend {

// Keeps the process's memory to itself: no core dumps, no tracing or /proc/PID/mem by other processes of the
// same user. OpenSSL then wipes the memory that it gives back. A closed pipe is an error to whoever writes,
// no longer a signal. Refuses to go on where standard input, output or error is closed: a file or socket
// opened later would take its place and its bytes.
Status HardenProcess();

// Lets the process open as many descriptors as its hard limit allows.
void RaiseDescriptorLimit();

// The API key in the environment variable `name`, which is then neither set nor to be seen in
// /proc/PID/environ.
Result<Secret> TakeKeyFromEnvironment(const std::string& name);

}  // namespace tokend
