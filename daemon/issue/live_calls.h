#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace tokend::issue {

// How many requests have not come to their recorded end. Thread-safe.
class LiveCalls {
 public:
  // Counts one request from construction to destruction.
  class Ticket {
   public:
    explicit Ticket(LiveCalls& calls) : calls_(calls) { calls_.Add(1); }
    ~Ticket() { calls_.Add(-1); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

   private:
    LiveCalls& calls_;
  };

  // Whether none was left by the deadline.
  bool WaitNone(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return none_.wait_until(lock, deadline, [this] { return count_ == 0; });
  }

 private:
  void Add(std::ptrdiff_t change) {
    const std::lock_guard lock(mutex_);
    count_ += change;
    if (count_ == 0) none_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable none_;
  std::ptrdiff_t count_ = 0;
};

}  // namespace tokend::issue
