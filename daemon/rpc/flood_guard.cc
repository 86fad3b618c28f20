#include "daemon/rpc/flood_guard.h"

namespace tokend::rpc {

// `reported_` can be ahead of `received_`, since a frame is counted as a whole when nghttp2 has read its
// header. Ignored bytes are then noticed later, and each of them once.
void FloodGuard::CountInput(std::size_t bytes, TimePoint now) {
  received_ += bytes;
  if (received_ <= reported_ + ignored_) return;
  const std::uint64_t ignored = received_ - reported_ - ignored_;
  ignored_ += ignored;
  const std::size_t free = std::min<std::uint64_t>(ignored, allowed_);
  allowed_ -= free;
  Charge(ignored_bytes_, static_cast<double>(ignored - free), Verdict::kIgnoredBytes, now);
}

void FloodGuard::CountFrame(std::size_t bytes) { reported_ += bytes; }

void FloodGuard::CountControlFrame(TimePoint now) {
  Charge(control_frames_, 1, Verdict::kControlFrames, now);
}

void FloodGuard::CountPadding(std::size_t bytes, TimePoint now) {
  Charge(ignored_bytes_, static_cast<double>(bytes), Verdict::kIgnoredBytes, now);
}

void FloodGuard::CountReset(TimePoint now) {
  resets_exceeded_ = !resets_.TryTake(1, now) || resets_exceeded_;
}

void FloodGuard::Charge(TokenBucket& bucket, double amount, Verdict exceeded, TimePoint now) {
  if (!bucket.TryTake(amount, now) && verdict_ == Verdict::kFine) verdict_ = exceeded;
}

}  // namespace tokend::rpc
