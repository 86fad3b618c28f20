#include "daemon/base/thread.h"

#include <pthread.h>

#include <csignal>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"

namespace tokend {

std::thread StartThread(std::string_view name, absl::AnyInvocable<void()> body) {
  // A new thread inherits the signal mask of the thread that starts it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const absl::Cleanup restore = [&before] { pthread_sigmask(SIG_SETMASK, &before, nullptr); };
  return std::thread([name = std::string(name), body = std::move(body)]() mutable {
    NameThisThread(name);
    std::move(body)();
  });
}

void NameThisThread(std::string_view name) {
  constexpr std::size_t kMaxNameBytes = 15;
  pthread_setname_np(pthread_self(), std::string(name.substr(0, kMaxNameBytes)).c_str());
}

}  // namespace tokend
