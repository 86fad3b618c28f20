#include "daemon/app/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <initializer_list>

namespace tokend::app {
namespace {

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

sigset_t AllSignals() { return SetOf({SIGTERM, SIGINT, SIGHUP}); }

}  // namespace

void BlockSignals() {
  const sigset_t signals = AllSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

bool IsStopPending() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

void WaitUnlessStopped(std::chrono::milliseconds time) {
  const sigset_t signals = SetOf({SIGTERM, SIGINT});
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const timespec timeout{seconds.count(), std::chrono::nanoseconds(time - seconds).count()};
  sigtimedwait(&signals, nullptr, &timeout);
}

SignalReader::SignalReader() {
  const sigset_t signals = AllSignals();
  descriptor_ = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

SignalReader::~SignalReader() { close(descriptor_); }

SignalReader::Asked SignalReader::Take() const {
  Asked asked = Asked::kNothing;
  for (signalfd_siginfo signal{}; read(descriptor_, &signal, sizeof(signal)) == sizeof(signal);) {
    if (signal.ssi_signo != SIGHUP) return Asked::kStop;
    asked = Asked::kReload;
  }
  return asked;
}

}  // namespace tokend::app
