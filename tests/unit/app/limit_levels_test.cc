#include "daemon/app/limit_levels.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <utility>

#include "daemon/issue/request_charges.h"
#include "daemon/state/memory/memory_state.h"
#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::app {
namespace {

class LimitLevelsTest : public testing::Test {
 protected:
  void Spend() {
    state::Charges charges{{}, {issue::ChargeOf(limit_, "acme")}, "acme", "ci"};
    state_.Spend(std::move(charges), loop_.clock().Now(), this, [](const state::SpendResult& spent) {
      EXPECT_TRUE(std::holds_alternative<state::Spent>(spent));
    });
  }

  const config::Limit limit_{"hour", 10, std::chrono::hours(1), 5};
  fakes::HandCrankedLoop loop_;
  issue::CurrentConfig current_{std::make_shared<issue::ConfigSnapshot>(
      issue::ConfigSnapshot{"digest", {{}, {}}, {}, {{"acme", {limit_}}, {"no-limits", {}}}})};
  state::MemoryState state_{loop_, config::Requests{.remember = std::chrono::minutes(10), .max_entries = 4}};
  LimitLevels levels_{loop_, current_, state_};
};

TEST_F(LimitLevelsTest, AreReadOnceTheyAreAskedFor) {
  EXPECT_FALSE(levels_.GetAndRefresh().read);
  EXPECT_EQ(loop_.RunPending(), 1U);
  const LimitLevels::Levels levels = levels_.GetAndRefresh();
  EXPECT_EQ(levels.read, loop_.clock().WallNow());
  EXPECT_EQ(levels.remaining,
            (std::map<std::pair<std::string, std::string>, std::int64_t>{{{"acme", "hour"}, 5}}));
}

TEST_F(LimitLevelsTest, FollowWhatIsSpent) {
  Spend();
  Spend();
  levels_.GetAndRefresh();
  loop_.RunPending();
  const auto remaining = levels_.GetAndRefresh().remaining;
  EXPECT_EQ(remaining.at({"acme", "hour"}), 3);
}

TEST_F(LimitLevelsTest, AreReadNoMoreOftenThanTheIntervalWhoeverAsks) {
  for (int i = 0; i < 10; ++i) levels_.GetAndRefresh();
  EXPECT_EQ(loop_.RunPending(), 1U);
  levels_.GetAndRefresh();
  EXPECT_EQ(loop_.RunPending(), 0U);
  loop_.Advance(LimitLevels::kInterval);
  levels_.GetAndRefresh();
  EXPECT_EQ(loop_.RunPending(), 1U);
}

}  // namespace
}  // namespace tokend::app
