#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/tcp_listener.h"

namespace tokend::rpc {

// A queue of tasks that other threads give to a listener's thread, its owner. Thread-safe. The queue itself
// has no limit. Its users bound it: there is one answer for each call in flight, and a few commands of the
// daemon.
class Mailbox {
 public:
  using Task = absl::AnyInvocable<void()>;

  // Throws std::system_error if the process has no free descriptor.
  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Queues the task for the owner's thread. After Close the task is destroyed without being run.
  void Post(Task task);

  // Runs the task at once if this is the owner's thread, and posts it otherwise.
  void RunOrPost(Task task);

  // Only the owner's thread may call these. BindToThisThread makes the calling thread the owner.
  void BindToThisThread() { owner_ = std::this_thread::get_id(); }
  int descriptor() const { return descriptor_.get(); }  // readable while the queue has tasks
  void RunTasks(const std::function<void()>& after_each = [] {});
  void Close();  // destroys the queued tasks, and all later ones, without running them

 private:
  const Descriptor descriptor_;
  std::atomic<std::thread::id> owner_{};
  std::mutex mutex_;
  std::vector<Task> tasks_;
  bool closed_ = false;
  std::vector<Task> running_;  // the owner's: the tasks that RunTasks runs; empty between its calls
};

}  // namespace tokend::rpc
