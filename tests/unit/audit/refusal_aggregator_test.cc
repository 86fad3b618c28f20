#include "daemon/audit/refusal_aggregator.h"

#include <gtest/gtest.h>

#include <string>

namespace tokend::audit {
namespace {

using std::chrono::milliseconds;

const RefusalAggregator::Time kStart{std::chrono::hours(1)};

v1::Record Denial(const std::string& caller, const std::string& application) {
  v1::Record record;
  record.set_event("request.denied");
  record.set_request_id("id of " + caller);
  record.set_reason("NOT_PERMITTED");
  record.mutable_caller()->set_name(caller);
  record.mutable_caller()->set_listener("pod");
  record.mutable_caller()->set_peer("ipv4:10.0.0.1:1");
  record.mutable_target()->set_application(application);
  return record;
}

std::uint64_t Stands(const v1::Record& record) { return record.count() == 0 ? 1 : record.count(); }

TEST(RefusalAggregator, MakesAlikeRefusalsWithinTheWindowOneRecord) {
  RefusalAggregator aggregator(milliseconds(1000));
  v1::Record other_peer = Denial("a", "app");
  other_peer.mutable_caller()->set_peer("ipv4:10.0.0.2:1");
  aggregator.Add(Denial("a", "app"), kStart);
  aggregator.Add(Denial("a", "app"), kStart + milliseconds(999));
  aggregator.Add(other_peer, kStart + milliseconds(999));
  EXPECT_EQ(aggregator.due(), kStart + milliseconds(1000));
  EXPECT_TRUE(aggregator.TakeDue(kStart + milliseconds(999)).empty());
  const auto records = aggregator.TakeDue(kStart + milliseconds(1000));
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].count(), 3U);
  EXPECT_EQ(records[0].request_id(), "");
  EXPECT_EQ(records[0].caller().name(), "a");
  EXPECT_EQ(records[0].caller().peer(), "");
  EXPECT_EQ(records[0].target().application(), "app");
  EXPECT_FALSE(aggregator.due());
}

TEST(RefusalAggregator, LeavesALoneRefusalAsItIs) {
  RefusalAggregator aggregator(milliseconds(1000));
  aggregator.Add(Denial("a", "app"), kStart);
  const auto first = aggregator.TakeDue(kStart + milliseconds(1000));
  aggregator.Add(Denial("a", "app"), kStart + milliseconds(1001));
  const auto second = aggregator.TakeAll();
  ASSERT_EQ(first.size(), 1U);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(first[0].SerializeAsString(), Denial("a", "app").SerializeAsString());
  EXPECT_EQ(second[0].SerializeAsString(), Denial("a", "app").SerializeAsString());
}

TEST(RefusalAggregator, KeepsApartWhatDiffers) {
  RefusalAggregator aggregator(milliseconds(1000));
  v1::Record invalid = Denial("a", "app");
  invalid.set_event("request.invalid");
  v1::Record limited = Denial("a", "app");
  limited.set_reason("RATE_LIMITED");
  v1::Record listener = Denial("a", "app");
  listener.mutable_caller()->set_listener("cluster");
  // These fields hold the same bytes in the same order, but end in other places.
  v1::Record scopes = Denial("a", "ap");
  scopes.mutable_target()->set_description("p");
  for (const v1::Record& record :
       {Denial("a", "app"), Denial("b", "app"), Denial("a", "app2"), invalid, limited, listener, scopes}) {
    aggregator.Add(record, kStart);
  }
  EXPECT_EQ(aggregator.TakeAll().size(), 7U);
}

TEST(RefusalAggregator, IsBoundedAndLosesNone) {
  RefusalAggregator aggregator(milliseconds(1000));
  constexpr std::size_t kRefusals = 10 * RefusalAggregator::kMaxRecords;
  for (std::size_t i = 0; i < kRefusals; ++i) {
    aggregator.Add(Denial("caller" + std::to_string(i % (5 * RefusalAggregator::kMaxRecords)),
                          "app" + std::to_string(i)),
                   kStart);
  }
  const auto records = aggregator.TakeAll();
  EXPECT_LE(records.size(), 2 * RefusalAggregator::kMaxRecords + 1);
  std::uint64_t total = 0;
  for (const v1::Record& record : records) total += Stands(record);
  EXPECT_EQ(total, kRefusals);
  EXPECT_EQ(records.back().caller().name(), "");
  EXPECT_GT(records.back().count(), 1U);
}

}  // namespace
}  // namespace tokend::audit
