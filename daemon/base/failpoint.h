#pragma once

// Failpoints: places where a test can kill the process, to see what a crash at that moment leaves behind.
// Only the tests' program tokend-failpoints is compiled with TOKEND_FAILPOINTS. Every other program contains
// no failpoints.
//
// The environment variable TOKEND_FAILPOINT=NAME[@TEXT]:COUNT kills the process with SIGKILL when it reaches
// the failpoint NAME for the COUNTth time, counting only subjects that contain TEXT. TOKEND_FAILPOINT_AFTER
// runs a statement just before the kill. Any thread.
#ifdef TOKEND_FAILPOINTS

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace tokend {

inline bool FailpointReached(std::string_view name, std::string_view subject) {
  static const char* const variable = std::getenv("TOKEND_FAILPOINT");
  if (variable == nullptr) return false;
  const std::string_view wanted(variable);
  const std::size_t colon = wanted.rfind(':');
  const std::string_view point = wanted.substr(0, colon);
  const std::size_t at = point.find('@');
  if (point.substr(0, at) != name) return false;
  if (at != std::string_view::npos && subject.find(point.substr(at + 1)) == std::string_view::npos)
    return false;
  static std::atomic<int> passed = 0;
  return ++passed == std::atoi(wanted.substr(colon + 1).data());
}

}  // namespace tokend

#define TOKEND_FAILPOINT_AFTER(name, subject, statement) \
  do {                                                   \
    if (::tokend::FailpointReached(name, subject)) {     \
      static_cast<void>(statement);                      \
      ::kill(::getpid(), SIGKILL);                       \
      while (true) ::pause();                            \
    }                                                    \
  } while (false)
#else
#define TOKEND_FAILPOINT_AFTER(name, subject, statement) static_cast<void>(0)
#endif
#define TOKEND_FAILPOINT(name, subject) TOKEND_FAILPOINT_AFTER(name, subject, static_cast<void>(0))
