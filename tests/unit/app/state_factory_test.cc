#include "daemon/app/state_factory.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::app {
namespace {

using std::chrono::minutes;

class Home : public testing::Test {
 protected:
  static config::Config ConfigOf(config::Upstream upstream) {
    config::Config config;
    config.requests = {.remember = minutes(10), .max_entries = 100};
    config.state = config::MemoryState{};
    config.upstream = std::move(upstream);
    return config;
  }

  // A request of five minutes ago, and a log that begins a minute ago.
  void Restore(StateHome& home) {
    const audit::RecordTime now = std::chrono::floor<std::chrono::microseconds>(loop_.clock().WallNow());
    audit::PastRequest past;
    past.request_id = "known";
    past.caller = "ci";
    past.organization = "acme";
    past.application = "ios-app";
    past.time = now - minutes(5);
    past.intent = 7;
    home.Restore({past}, audit::Gap{now - minutes(1), "the log was gone"}, loop_.clock());
  }

  state::AdmitResult Ask(StateHome& home, const std::string& id) {
    std::optional<state::AdmitResult> result;
    home.state().Admit({.request_id = state::LedgerId("ci", "", id), .target = {"acme", "ios-app", {}}}, this,
                       [&result](state::AdmitResult admitted) { result = std::move(admitted); });
    return result.value();
  }

  fakes::HandCrankedLoop loop_;
};

TEST_F(Home, KnowsWhatAnEarlierRunIntendedAndRefusesWhatItMayHaveLost) {
  StateHome home(ConfigOf(config::Applivery{}), std::nullopt, loop_, {});
  Restore(home);
  EXPECT_TRUE(std::holds_alternative<state::Known>(Ask(home, "known")));
  EXPECT_EQ(std::get<Failure>(Ask(home, "new")).reason, Reason::kLimitsUnavailable);
}

TEST_F(Home, OfARelayAsksAgainForWhatAnEarlierRunIntendedAndRefusesNothing) {
  StateHome home(ConfigOf(config::TokendUpstream{}), std::nullopt, loop_, {});
  Restore(home);
  const state::AdmitResult known = Ask(home, "known");
  const auto& earlier = std::get<state::Fresh>(known).earlier;
  ASSERT_TRUE(earlier.has_value());
  EXPECT_EQ(earlier->intent.sequence, 7U);
  EXPECT_EQ(earlier->intent.at, loop_.clock().Now() - minutes(5));
  EXPECT_FALSE(std::get<state::Fresh>(Ask(home, "new")).earlier);
  EXPECT_TRUE(home.state().quarantine().ok());
}

}  // namespace
}  // namespace tokend::app
