#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace tokend {

// A value that a reload replaces. Readers keep the value that they got for as long as they need it. Any
// thread. This is not a std::atomic<std::shared_ptr> because ThreadSanitizer reports false races in that of
// g++ 12.
template <class T>
class Current {
 public:
  explicit Current(std::shared_ptr<const T> value) : value_(std::move(value)) {}

  std::shared_ptr<const T> Get() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }

  void Set(std::shared_ptr<const T> value) {
    {
      const std::lock_guard lock(mutex_);
      value_.swap(value);
    }
    // `value` is now the former value. It is destroyed here, after the lock is released.
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

}  // namespace tokend
