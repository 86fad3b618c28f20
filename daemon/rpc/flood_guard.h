#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "daemon/rpc/bounds.h"
#include "daemon/rpc/token_bucket.h"

namespace tokend::rpc {

// Limits three kinds of cheap attacks on an HTTP/2 connection that nghttp2 does not limit: control frames,
// bytes that nghttp2 ignores (such as DATA of closed streams, and padding), and streams that close before
// their answer is sent.
//
// nghttp2 does not report the frames that it ignores. The guard therefore counts all bytes that were received
// and all bytes of reported frames: the difference was ignored. One thread at a time.
class FloodGuard {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  enum class Verdict { kFine, kControlFrames, kIgnoredBytes };

  // nghttp2 has processed this many bytes, after the calls of CountFrame for them.
  void CountInput(std::size_t bytes, TimePoint now) {
    received_ += bytes;
    // `reported_` can be ahead of `received_`, since a frame is counted as a whole when nghttp2 has read its
    // header. Ignored bytes are then noticed later, and each of them once.
    if (received_ <= reported_ + ignored_) return;
    const std::uint64_t ignored = received_ - reported_ - ignored_;
    ignored_ += ignored;
    const std::size_t free = std::min<std::uint64_t>(ignored, allowed_);
    allowed_ -= free;
    CountPadding(ignored - free, now);
  }

  // nghttp2 has reported a frame of this many bytes, its header included.
  void CountFrame(std::size_t bytes) { reported_ += bytes; }
  // That frame was neither a request's header nor data.
  void CountControlFrame(TimePoint now) { Charge(control_frames_, 1, Verdict::kControlFrames, now); }
  // That frame had so many bytes of padding. Padding counts as ignored.
  void CountPadding(std::size_t bytes, TimePoint now) {
    Charge(ignored_bytes_, static_cast<double>(bytes), Verdict::kIgnoredBytes, now);
  }

  // That frame was a request's header or had data. Well-behaved clients send a few control frames along with
  // each of these, so it adds to the allowance of control frames.
  void CountCallFrame() { control_frames_.Add(bounds::kControlFramesEarned); }

  // A stream has closed before its answer was sent.
  void CountReset(TimePoint now) { resets_exceeded_ = !resets_.TryTake(1, now) || resets_exceeded_; }

  // Allows so many more ignored bytes: the server has closed a stream or accepts no new ones, and the client
  // may have sent this much before it could know.
  void AllowIgnored(std::size_t bytes) { allowed_ = std::min(allowed_ + bytes, bounds::kMaxExpectedBytes); }

  // The first limit that was exceeded, of control frames and ignored bytes.
  Verdict verdict() const { return verdict_; }
  // Whether the limit of resets was exceeded.
  bool resets_exceeded() const { return resets_exceeded_; }

 private:
  void Charge(TokenBucket& bucket, double amount, Verdict exceeded, TimePoint now) {
    if (!bucket.TryTake(amount, now) && verdict_ == Verdict::kFine) verdict_ = exceeded;
  }

  TokenBucket control_frames_{bounds::kControlFrames};
  TokenBucket ignored_bytes_{bounds::kIgnoredBytes};
  TokenBucket resets_{bounds::kResets};
  std::uint64_t received_ = 0;  // bytes
  std::uint64_t reported_ = 0;  // of these, in frames that nghttp2 has reported
  std::uint64_t ignored_ = 0;   // of these, found to be ignored so far
  std::size_t allowed_ = 0;     // ignored bytes that will be free of charge
  Verdict verdict_ = Verdict::kFine;
  bool resets_exceeded_ = false;
};

}  // namespace tokend::rpc
