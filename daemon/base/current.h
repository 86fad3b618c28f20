#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace tokend {

// The one value in effect, which a reload replaces while others go on with what they got. Any thread. (Not
// std::atomic<std::shared_ptr>: g++ 12's unlocks in a way that thread sanitizers cannot follow.)
template <class T>
class Current {
 public:
  explicit Current(std::shared_ptr<const T> value) : value_(std::move(value)) {}
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

  std::shared_ptr<const T> Get() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }

  void Set(std::shared_ptr<const T> value) {
    {
      const std::lock_guard lock(mutex_);
      value_.swap(value);
    }
    // What was in effect may end here, with the lock given back.
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

}  // namespace tokend
