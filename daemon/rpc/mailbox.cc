#include "daemon/rpc/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace tokend::rpc {
namespace {

// The queue keeps its memory from pass to pass, up to this many tasks.
constexpr std::size_t kMaxKeptRoom = 1024;

}  // namespace

Mailbox::Mailbox() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor() < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void Mailbox::Post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;  // the task is destroyed after the lock is released
    tasks_.push_back(std::move(task));
    if (tasks_.size() > 1) return;  // the poster of the first task wakes the owner
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(descriptor(), &one, sizeof(one));
}

void Mailbox::RunOrPost(Task task) {
  if (std::this_thread::get_id() == owner_) {
    task();
  } else {
    Post(std::move(task));
  }
}

void Mailbox::RunTasks(const std::function<void()>& after_each) {
  {
    const std::lock_guard lock(mutex_);
    running_.swap(tasks_);
    std::uint64_t count = 0;
    [[maybe_unused]] const auto taken = read(descriptor(), &count, sizeof(count));
  }
  for (Task& task : running_) {
    std::exchange(task, nullptr)();  // and destroys what the task holds
    after_each();
  }
  running_.clear();
  if (running_.capacity() > kMaxKeptRoom) running_.shrink_to_fit();
}

void Mailbox::Close() {
  std::vector<Task> unrun;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  owner_ = std::thread::id();
  unrun.swap(tasks_);
}

}  // namespace tokend::rpc
