#pragma once

#include <chrono>

namespace tokend::app {

// Blocks SIGTERM, SIGINT and SIGHUP, so that they wait until SignalReader or WaitUnlessStopped takes them.
// Call it before there are other threads: a thread inherits the mask of the one that starts it.
void BlockSignals();

// Whether SIGTERM or SIGINT is pending.
bool IsStopPending();

// Waits for this long, or until SIGTERM or SIGINT comes, which this then takes.
void WaitUnlessStopped(std::chrono::milliseconds time);

// Takes the blocked signals through a descriptor that can be polled (signalfd(2)). Main thread.
class SignalReader {
 public:
  enum class Asked { kNothing, kReload, kStop };

  SignalReader();
  ~SignalReader();
  SignalReader(const SignalReader&) = delete;
  SignalReader& operator=(const SignalReader&) = delete;

  // Readable while a signal is pending.
  int descriptor() const { return descriptor_; }

  // Takes the pending signals. kStop: SIGTERM or SIGINT was among them; signals after it stay pending.
  Asked Take() const;

 private:
  int descriptor_;
};

}  // namespace tokend::app
