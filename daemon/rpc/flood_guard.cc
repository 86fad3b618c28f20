#include "daemon/rpc/flood_guard.h"

namespace tokend::rpc {

// A frame counts as seen as soon as its head is, so `seen_` may be ahead: what is ignored is told late, but
// never twice.
void FloodGuard::Fed(std::size_t bytes, TimePoint now) {
  fed_ += bytes;
  if (fed_ <= seen_ + ignored_) return;
  const std::uint64_t ignored = fed_ - seen_ - ignored_;
  ignored_ += ignored;
  const std::size_t expected = std::min<std::uint64_t>(ignored, expected_);
  expected_ -= expected;
  Spend(ignored_bytes_, static_cast<double>(ignored - expected), Verdict::kIgnoredBytes, now);
}

void FloodGuard::SawFrame(std::size_t bytes) { seen_ += bytes; }

void FloodGuard::SawControlFrame(TimePoint now) { Spend(control_frames_, 1, Verdict::kControlFrames, now); }

void FloodGuard::SawPadding(std::size_t bytes, TimePoint now) {
  Spend(ignored_bytes_, static_cast<double>(bytes), Verdict::kIgnoredBytes, now);
}

void FloodGuard::SawReset(TimePoint now) { resets_spent_ = !resets_.Spend(1, now) || resets_spent_; }

void FloodGuard::Spend(RateBudget& budget, double amount, Verdict overdrawn, TimePoint now) {
  if (!budget.Spend(amount, now) && verdict_ == Verdict::kFine) verdict_ = overdrawn;
}

}  // namespace tokend::rpc
