#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/functional/function_ref.h"
#include "daemon/base/result.h"

namespace tokend::audit {

// Writes all of `rest`, and removes from it what is written. While nobody reads the other end it waits, and
// asks `give_up` at least ten times a second; once that says true, the error is UNAVAILABLE. The descriptor's
// flags stay as they are, because other processes share them.
Status WriteStream(int descriptor, std::string_view& rest, absl::FunctionRef<bool()> give_up);

// Copies lines to a descriptor on a thread of its own. Nobody waits for the copy: where its reader is too
// slow, whole lines are dropped. Any thread.
class StreamCopy {
 public:
  // Does not own the descriptor. Throws std::system_error where the system allows no further thread.
  explicit StreamCopy(int descriptor);
  // Gives the reader up to one second to read the rest.
  ~StreamCopy();
  StreamCopy(const StreamCopy&) = delete;
  StreamCopy& operator=(const StreamCopy&) = delete;

  // Takes whole lines, or drops all of them. Never blocks.
  void Offer(std::string_view lines);

 private:
  static constexpr std::size_t kMaxWaiting = std::size_t{4} << 20U;

  void Run();

  const int descriptor_;
  std::mutex mutex_;
  std::condition_variable offered_;
  std::string waiting_;
  std::optional<std::chrono::steady_clock::time_point> stop_by_;
  std::thread thread_;
};

}  // namespace tokend::audit
