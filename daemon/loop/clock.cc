#include "daemon/loop/event_loop.h"

namespace tokend::loop {
namespace {

class ProcessClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point Now() const override { return std::chrono::steady_clock::now(); }
  std::chrono::system_clock::time_point WallNow() const override { return std::chrono::system_clock::now(); }
};

}  // namespace

const Clock& SystemClock() {
  // Never destroyed: threads may read it while the process ends.
  static const auto* const clock = new ProcessClock;
  return *clock;
}

}  // namespace tokend::loop
