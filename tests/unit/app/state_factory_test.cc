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
    audit::RecordView intent;
    intent.request_id = "known";
    intent.caller.name = "ci";
    intent.target.organization = "acme";
    intent.target.application = "ios-app";
    intent.time = now - minutes(5);
    intent.seq = 7;
    home.Restore({audit::MakePastRequest(intent, 8)}, audit::Gap{now - minutes(1), "the log was gone"},
                 loop_.clock());
  }

  state::AdmitResult Ask(StateHome& home, const std::string& id, const std::string& caller = "ci",
                         const std::string& on_behalf_of = "") {
    std::optional<state::AdmitResult> result;
    home.state().Admit(
        {.request_id = state::LedgerId(caller, on_behalf_of, id), .target = {"acme", "ios-app", {}}}, this,
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

TEST_F(Home, KnowsOfEachCallerWhatItIntended) {
  struct By {
    std::string caller;
    std::string on_behalf_of;
  };
  const std::vector<By> callers = {{"ci", ""}, {"relay", "a"}, {"relay", "b"}, {"ci", ""}, {"relay", ""}};
  audit::PastRequests past;
  for (std::size_t i = 0; i < callers.size(); ++i) {
    const std::string id = "id-" + std::to_string(i);
    audit::RecordView intent;
    intent.request_id = id;
    intent.caller.name = callers[i].caller;
    intent.caller.on_behalf_of = callers[i].on_behalf_of;
    intent.time = std::chrono::floor<std::chrono::microseconds>(loop_.clock().WallNow());
    past.push_back(audit::MakePastRequest(intent, 20 + i));
  }
  StateHome home(ConfigOf(config::Applivery{}), std::nullopt, loop_, {});
  home.Restore(std::move(past), std::nullopt, loop_.clock());
  for (std::size_t i = 0; i < callers.size(); ++i) {
    const std::string id = "id-" + std::to_string(i);
    const state::AdmitResult known = Ask(home, id, callers[i].caller, callers[i].on_behalf_of);
    ASSERT_TRUE(std::holds_alternative<state::Known>(known)) << id;
    const auto& failure = std::get<Failure>(std::get<state::Known>(known).outcome);
    EXPECT_EQ(failure.reason, Reason::kOutcomeUnknown);
    EXPECT_EQ(failure.audit_sequence, 20 + i);
    EXPECT_TRUE(std::holds_alternative<state::Fresh>(Ask(home, id, "another"))) << id;
  }
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
