#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace tokend::rpc {

// Tasks that other threads hand to a listener's thread. Thread-safe. It has no limit of its own: there is at
// most one task for each call in flight, and a few from the daemon itself.
class Mailbox {
 public:
  using Task = absl::AnyInvocable<void()>;

  // Throws std::system_error where the process has no descriptor left.
  Mailbox();
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Has the task run on the owner's thread, soon. Once closed, the task ends unrun.
  void Post(Task task);

  // The same, but at once where the owner's thread calls.
  void Run(Task task);

  // The owner's thread alone.
  void Own() { owner_ = std::this_thread::get_id(); }
  int descriptor() const { return descriptor_; }  // readable while there are tasks
  void RunTasks(const std::function<void()>& after_each = [] {});
  void Close();  // tasks that wait, and all later ones, end unrun

 private:
  const int descriptor_;
  std::atomic<std::thread::id> owner_{};
  std::mutex mutex_;
  std::vector<Task> tasks_;
  bool closed_ = false;
};

}  // namespace tokend::rpc
