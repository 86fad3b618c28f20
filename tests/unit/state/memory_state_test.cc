#include "daemon/state/memory/memory_state.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "tests/fakes/hand_cranked_loop.h"
#include "tests/unit/state/state_test.h"

// What memory alone has: time is exact. The rest is in state_contract_test.cc.
namespace tokend::state {
namespace {

using std::chrono::seconds;

class InMemory : public StateTest {
 protected:
  bool RunUntil(absl::FunctionRef<bool()> done, seconds /*limit*/) override {
    loop_.RunPending();
    return done();
  }
  TimePoint Clock() override { return loop_.clock().Now(); }
  Seen& Ask(const std::string& id) {
    return Admit(*state_, AdmissionOf(id, "ci", charges_, std::chrono::hours(1)));
  }

  fakes::HandCrankedLoop loop_;
  const Charges charges_ = Both(ChargeOf("own", 5, seconds(6)), ChargeOf("org", 1, seconds(1)));
  std::unique_ptr<MemoryState> state_ = std::make_unique<MemoryState>(
      loop_, config::Requests{.remember = std::chrono::minutes(10), .max_entries = 4});
};

TEST_F(InMemory, ClaimsAndSpends) {
  const Spent spent = SpentIn(Ask("a"));
  EXPECT_EQ(std::get<SpentHere>(spent).own, Clock());
  EXPECT_EQ(state_->entries(), 1U);
  std::vector<TimePoint> levels;
  state_->Levels({charges_.own[0], charges_.organization[0]},
                 [&levels](const Result<std::vector<TimePoint>>& full_at) { levels = *full_at; });
  EXPECT_EQ(levels, (std::vector<TimePoint>{Clock() + seconds(6), Clock() + seconds(1)}));
}

TEST_F(InMemory, ADestroyedOneCallsNobody) {
  Ask("other");
  const Seen& waiting = Ask("a");
  const Seen& joined = Ask("a");
  state_.reset();
  loop_.Advance(std::chrono::hours(2));
  EXPECT_EQ(waiting, std::nullopt);
  EXPECT_EQ(joined, std::nullopt);
  EXPECT_EQ(loop_.timers(), 0U);
}

}  // namespace
}  // namespace tokend::state
