#pragma once

#include <string_view>
#include <thread>

#include "absl/functional/any_invocable.h"

namespace tokend {

// Starts a thread that blocks all signals, so that only the main thread handles them. Threads that it starts
// inherit this. Profilers and debuggers show the first 15 bytes of `name` (pthread_setname_np(3)). Throws
// std::system_error if the system allows no further thread.
std::thread StartThread(std::string_view name, absl::AnyInvocable<void()> body);

// Names the calling thread: for threads that a library has started.
void NameThisThread(std::string_view name);

}  // namespace tokend
