#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace tokend::issue {

// A request that has not reached its recorded end.
class LiveCall {
 public:
  virtual ~LiveCall() = default;

  // The daemon stops: ends the request if no intent was recorded yet. Loop thread.
  virtual void Stop() = 0;
};

// All requests that run. Thread-safe.
class LiveCalls {
 public:
  struct Remover {
    std::list<std::weak_ptr<LiveCall>>::iterator at;
    void operator()(LiveCalls* calls) const { calls->Remove(at); }
  };
  // Counts one request until it is dropped.
  using Ticket = std::unique_ptr<LiveCalls, Remover>;

  Ticket Add(std::weak_ptr<LiveCall> call) {
    const std::lock_guard lock(mutex_);
    return {this, Remover{calls_.insert(calls_.end(), std::move(call))}};
  }

  // Waits until no request runs; false if one still runs at the deadline.
  bool WaitNone(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return none_.wait_until(lock, deadline, [this] { return calls_.empty(); });
  }

  // Stops all requests, and makes `stopping` true, so that new ones end at once. Loop thread.
  void Stop() {
    stopping_ = true;
    const auto copy = [this] {
      const std::lock_guard lock(mutex_);
      return calls_;
    };
    for (const std::weak_ptr<LiveCall>& call : copy()) {
      if (const auto still = call.lock()) still->Stop();
    }
  }
  bool stopping() const { return stopping_; }

 private:
  void Remove(std::list<std::weak_ptr<LiveCall>>::iterator at) {
    const std::lock_guard lock(mutex_);
    calls_.erase(at);
    if (calls_.empty()) none_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable none_;
  std::list<std::weak_ptr<LiveCall>> calls_;
  std::atomic<bool> stopping_{false};
};

}  // namespace tokend::issue
