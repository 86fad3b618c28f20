#include "daemon/audit/stream.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "daemon/base/thread.h"

namespace tokend::audit {
namespace {

constexpr int kPollMs = 100;
constexpr std::chrono::seconds kStopBound(1);

}  // namespace

Status WriteStream(int descriptor, std::string_view& rest, absl::FunctionRef<bool()> give_up) {
  while (!rest.empty()) {
    if (give_up()) return absl::UnavailableError("standard output is not read fast enough");
    pollfd ready = {descriptor, POLLOUT, 0};
    const int polled = poll(&ready, 1, kPollMs);
    if (polled < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "writing to standard output failed");
    if (polled <= 0) continue;
    // A pipe that is ready takes PIPE_BUF bytes without blocking.
    const ssize_t wrote = write(descriptor, rest.data(), std::min<std::size_t>(rest.size(), PIPE_BUF));
    if (wrote > 0) {
      rest.remove_prefix(static_cast<std::size_t>(wrote));
    } else if (wrote == 0 || (errno != EINTR && errno != EAGAIN)) {
      return absl::ErrnoToStatus(wrote == 0 ? EIO : errno, "writing to standard output failed");
    }
  }
  return absl::OkStatus();
}

StreamCopy::StreamCopy(int descriptor)
    : descriptor_(descriptor), thread_(StartThread("audit-stdout", [this] { Run(); })) {}

StreamCopy::~StreamCopy() {
  {
    const std::lock_guard lock(mutex_);
    stop_by_ = std::chrono::steady_clock::now() + kStopBound;
    offered_.notify_one();
  }
  thread_.join();
}

void StreamCopy::Offer(std::string_view lines) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() + lines.size() > kMaxWaiting) return;
  waiting_ += lines;
  offered_.notify_one();
}

void StreamCopy::Run() {
  while (true) {
    std::string lines;
    {
      std::unique_lock lock(mutex_);
      offered_.wait(lock, [this] { return stop_by_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      lines = std::exchange(waiting_, {});
    }
    std::string_view rest = lines;
    // A copy that cannot be written is lost: the log itself is the file.
    const auto out_of_time = [this] {
      const std::lock_guard lock(mutex_);
      return stop_by_ && std::chrono::steady_clock::now() >= *stop_by_;
    };
    WriteStream(descriptor_, rest, out_of_time).IgnoreError();
  }
}

}  // namespace tokend::audit
