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

// Writes all of `rest` and takes off what is written. Where nobody reads it waits until `give_up`, which is
// asked at least ten times a second, and is then UNAVAILABLE. The descriptor stays as blocking as it was:
// others share it.
Status WriteStream(int descriptor, std::string_view& rest, absl::FunctionRef<bool()> give_up);

// A copy of what is written elsewhere, that nothing waits for: what its reader does not keep up with is
// dropped, whole lines at a time. Any thread.
class StreamCopy {
 public:
  // Does not own the descriptor.
  explicit StreamCopy(int descriptor);
  // Gives the reader a second to take the rest.
  ~StreamCopy();
  StreamCopy(const StreamCopy&) = delete;
  StreamCopy& operator=(const StreamCopy&) = delete;

  // Takes whole lines, or drops them. Never blocks.
  void Offer(std::string_view lines);

 private:
  static constexpr std::size_t kMaxWaiting = std::size_t{4} << 20U;

  void Run();
  bool OutOfTime();

  const int descriptor_;
  std::mutex mutex_;
  std::condition_variable offered_;
  std::string waiting_;
  std::optional<std::chrono::steady_clock::time_point> stop_by_;
  std::thread thread_;
};

}  // namespace tokend::audit
