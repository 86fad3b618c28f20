#pragma once

#include <string_view>
#include <thread>

#include "absl/functional/any_invocable.h"

namespace tokend {

// Starts a thread that takes no signals, and neither do the threads that it starts: signals are for the main
// thread. Profilers and debuggers show the first 15 bytes of `name` (pthread_setname_np(3)). Throws
// std::system_error where the system allows no further thread.
std::thread StartThread(std::string_view name, absl::AnyInvocable<void()> body);

// Names the calling thread, where a library has started it.
void NameThisThread(std::string_view name);

}  // namespace tokend
