#include "daemon/issue/calls_in_flight.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace tokend::issue {
namespace {

config::Grant GrantOf(const std::string& name, std::optional<std::size_t> max_in_flight) {
  config::Grant grant;
  grant.name = name;
  grant.max_in_flight = max_in_flight;
  return grant;
}

TEST(CallsInFlight, LetsAsManyRunAsTheGrantAllows) {
  CallsInFlight calls;
  const config::Grant grant = GrantOf("deploy", 2);
  const auto first = calls.Enter(grant, "ci");
  const auto second = calls.Enter(grant, "ci");
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(calls.Enter(grant, "ci"));
}

TEST(CallsInFlight, CountsEachCallerForItself) {
  CallsInFlight calls;
  const config::Grant grant = GrantOf("deploy", 1);
  const auto first = calls.Enter(grant, "ci");
  EXPECT_FALSE(calls.Enter(grant, "ci"));
  EXPECT_TRUE(calls.Enter(grant, "nightly"));
}

TEST(CallsInFlight, CountsEachGrantForItself) {
  CallsInFlight calls;
  const auto first = calls.Enter(GrantOf("deploy", 1), "ci");
  EXPECT_FALSE(calls.Enter(GrantOf("deploy", 1), "ci"));
  EXPECT_TRUE(calls.Enter(GrantOf("test", 1), "ci"));
}

TEST(CallsInFlight, FreesAPlaceWhenItIsDropped) {
  CallsInFlight calls;
  const config::Grant grant = GrantOf("deploy", 1);
  std::optional<CallsInFlight::Place> place = calls.Enter(grant, "ci");
  place.reset();
  EXPECT_TRUE(calls.Enter(grant, "ci"));
}

TEST(CallsInFlight, CountsAPlaceThatIsMovedOnce) {
  CallsInFlight calls;
  const config::Grant grant = GrantOf("deploy", 2);
  auto first = calls.Enter(grant, "ci");
  auto second = calls.Enter(grant, "ci");
  CallsInFlight::Place moved(*std::move(first));
  first.reset();
  EXPECT_FALSE(calls.Enter(grant, "ci"));
  moved = *std::move(second);
  second.reset();
  const auto third = calls.Enter(grant, "ci");
  EXPECT_TRUE(third) << "the place that was moved over is free";
  EXPECT_FALSE(calls.Enter(grant, "ci"));
}

TEST(CallsInFlight, LetsAllRunWhereTheGrantHasNoMaximum) {
  CallsInFlight calls;
  const config::Grant grant = GrantOf("deploy", std::nullopt);
  const auto first = calls.Enter(grant, "ci");
  EXPECT_TRUE(calls.Enter(grant, "ci"));
}

}  // namespace
}  // namespace tokend::issue
