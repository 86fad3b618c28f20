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

  // nghttp2 has processed so many bytes, after the calls below for the frames in them.
  void Fed(std::size_t bytes, TimePoint now);

  // nghttp2 has taken a frame of so many bytes, its head included.
  void SawFrame(std::size_t bytes);
  // The same for a frame that is neither the head of a request nor data.
  void SawControlFrame(TimePoint now);
  // Padding of a frame: bytes that are seen and change nothing.
  void SawPadding(std::size_t bytes, TimePoint now);

  // A request's head, or data: it earns control frames, which honest clients send along with calls.
  void SawCall() { control_frames_.Earn(bounds::kControlFramesEarned); }

  // A stream has ended before its answer was sent.
  void SawReset(TimePoint now);

  // The server has ended a stream or takes no more of them, so nghttp2 ignores up to so many bytes that an
  // honest client may have sent before it knew.
  void Expect(std::size_t bytes) { expected_ = std::min(expected_ + bytes, bounds::kMaxExpectedBytes); }

  // The bound that the client passed first: on control frames or on ignored bytes.
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
