#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "daemon/rpc/bounds.h"
#include "daemon/rpc/rate_budget.h"

namespace tokend::rpc {

// Counts what a client makes a connection do for nothing, which nghttp2 does not bound: control frames, bytes
// of frames that change nothing, and streams that end before their answer. One thread at a time.
class FloodGuard {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  enum class Verdict { kFine, kControlFrames, kIgnoredBytes };

  // Bytes were handed to nghttp2, which has done with them what the other functions were told.
  void Fed(std::size_t bytes, TimePoint now);

  // A frame of so many bytes, its head included, that nghttp2 does not ignore.
  void SawFrame(std::size_t bytes);
  // Such a frame which is neither the head of a request nor data.
  void SawControlFrame(TimePoint now);
  // Padding of a frame: bytes that are seen and change nothing.
  void SawPadding(std::size_t bytes, TimePoint now);

  // A request's head, or data: it earns control frames, which honest clients send along with calls.
  void SawCall() { control_frames_.Earn(bounds::kControlFramesEarned); }

  // A stream has ended before its answer was sent.
  void SawReset(TimePoint now);

  // The client may have sent so many bytes already that nghttp2 ignores, because a stream ended, or no more
  // of them are taken.
  void Expect(std::size_t bytes) { expected_ = std::min(expected_ + bytes, bounds::kMaxExpectedBytes); }

  // Of control frames and ignored bytes, what there were too many of first.
  Verdict verdict() const { return verdict_; }
  // Whether there were too many resets.
  bool resets_spent() const { return resets_spent_; }

 private:
  void Spend(RateBudget& budget, double amount, Verdict overdrawn, TimePoint now);

  RateBudget control_frames_{bounds::kControlFrames};
  RateBudget ignored_bytes_{bounds::kIgnoredBytes};
  RateBudget resets_{bounds::kResets};
  std::uint64_t fed_ = 0;
  std::uint64_t seen_ = 0;
  std::uint64_t ignored_ = 0;
  std::size_t expected_ = 0;
  Verdict verdict_ = Verdict::kFine;
  bool resets_spent_ = false;
};

}  // namespace tokend::rpc
