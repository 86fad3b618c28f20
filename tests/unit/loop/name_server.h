#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

// The name server of all tests of this program. "slow.test" has no answer until the gate opens, "absent.test"
// does not exist, "several.test" has four addresses, and every other name is left to libc.
namespace tokend::loop {

class ResolverGate {
 public:
  void Wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    ++passed_;
    changed_.notify_all();
  }
  void AwaitWaiter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }
  // Opens the gate, and waits until all look-ups that waited have passed.
  void Open() {
    std::unique_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return passed_ == waiting_; });
  }
  void Close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
    waiting_ = passed_ = 0;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
  int passed_ = 0;
};

ResolverGate& Names();

class SlowNames : public testing::Test {
 protected:
  void SetUp() override { Names().Close(); }
  void TearDown() override { Names().Open(); }
};

}  // namespace tokend::loop
