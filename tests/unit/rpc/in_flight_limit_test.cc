#include "daemon/rpc/in_flight_limit.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace tokend::rpc {
namespace {

using std::chrono::steady_clock;

class InFlightLimitTest : public testing::Test {
 protected:
  std::shared_ptr<InFlightLimit> Make(std::size_t max, Shares::Policy policy = Shares::Policy::kShared) {
    return std::make_shared<InFlightLimit>(max, policy, metrics_);
  }

  telemetry::Metrics metrics_;
};

TEST_F(InFlightLimitTest, LetsInAsManyAsTheMaximum) {
  const auto limit = Make(2);
  auto first = limit->TryEnter("ci");
  const auto second = limit->TryEnter("ci");
  EXPECT_FALSE(limit->TryEnter("ci"));
  EXPECT_EQ(limit->calls_in_flight(), 2U);

  first.reset();
  EXPECT_TRUE(limit->TryEnter("ci"));
}

TEST_F(InFlightLimitTest, KeepsTheLastQuarterForCallersWithLess) {
  const auto limit = Make(16);
  std::vector<InFlightLimit::Place> places;
  while (auto place = limit->TryEnter("greedy")) places.push_back(std::move(place));
  EXPECT_EQ(places.size(), 12U);
  for (int i = 0; i < 4; ++i) {
    auto place = limit->TryEnter("modest");
    ASSERT_TRUE(place) << i;
    places.push_back(std::move(place));
  }
  EXPECT_FALSE(limit->TryEnter("modest"));
}

TEST_F(InFlightLimitTest, GivesAllPlacesToTheOnlyCaller) {
  const auto limit = Make(16, Shares::Policy::kOneHolder);
  std::vector<InFlightLimit::Place> places;
  while (auto place = limit->TryEnter("only")) places.push_back(std::move(place));
  EXPECT_EQ(places.size(), 16U);
}

TEST_F(InFlightLimitTest, TakesAnotherMaximumWhileCallsRun) {
  const auto limit = Make(1);
  const auto first = limit->TryEnter("ci");
  EXPECT_FALSE(limit->TryEnter("ci"));
  limit->Resize(2, Shares::Policy::kShared);
  const auto second = limit->TryEnter("ci");
  EXPECT_TRUE(second);
  limit->Resize(1, Shares::Policy::kShared);
  EXPECT_FALSE(limit->TryEnter("ci"));
  EXPECT_EQ(limit->calls_in_flight(), 2U);
}

TEST_F(InFlightLimitTest, WaitsForTheLastPlaceAndNoLongerThanToldTo) {
  const auto limit = Make(2);
  auto place = limit->TryEnter("ci");
  EXPECT_FALSE(limit->WaitIdle(steady_clock::now()));
  std::thread leaver([&] { place.reset(); });
  EXPECT_TRUE(limit->WaitIdle(steady_clock::now() + std::chrono::seconds(10)));
  leaver.join();
}

TEST_F(InFlightLimitTest, OutlivesItsOwnerAsLongAsAPlaceDoes) {
  auto limit = Make(2);
  const auto place = limit->TryEnter("ci");
  const std::weak_ptr<InFlightLimit> watched = limit;
  limit.reset();
  EXPECT_FALSE(watched.expired());
}

}  // namespace
}  // namespace tokend::rpc
