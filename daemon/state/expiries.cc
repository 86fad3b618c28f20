#include "daemon/state/expiries.h"

#include <algorithm>
#include <cassert>
#include <chrono>

namespace tokend::state {
namespace {

constexpr std::chrono::milliseconds kResolution{100};

}  // namespace

Expiries::Expiries(loop::EventLoop& loop, Forget forget) : loop_(loop), forget_(std::move(forget)) {}

Expiries::~Expiries() {
  if (timer_) loop_.Cancel(*timer_);
}

void Expiries::Add(TimePoint at, const std::string& request_id) {
  times_.emplace(at, request_id);
  Arm();
}

void Expiries::Remove(TimePoint at, const std::string& request_id) {
  [[maybe_unused]] const std::size_t removed = times_.erase({at, request_id});
  assert(removed == 1);
}

void Expiries::ForgetDue() {
  const TimePoint now = loop_.clock().Now();
  while (!times_.empty() && times_.begin()->first <= now) {
    const auto due = times_.extract(times_.begin());
    forget_(due.value().second);
  }
}

void Expiries::Arm() {
  if (times_.empty()) return;
  const TimePoint first = times_.begin()->first;
  if (timer_ && timer_for_ <= first) return;
  if (timer_) loop_.Cancel(*timer_);
  const auto delay =
      std::max<std::chrono::nanoseconds>(first - loop_.clock().Now(), std::chrono::nanoseconds(0));
  timer_for_ = first;
  timer_ = loop_.After(delay + kResolution, [this] {
    timer_.reset();
    ForgetDue();
    Arm();
  });
}

}  // namespace tokend::state
