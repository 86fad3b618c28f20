#include "daemon/audit/refusal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tokend::audit {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Aggregator = RefusalAggregator<Refusal>;

const Aggregator::Time kStart{std::chrono::hours(1)};

v1::Record Denial(const std::string& caller, const std::string& application) {
  v1::Record record;
  record.set_event("request.denied");
  record.set_request_id("id of " + caller);
  record.set_reason("NOT_PERMITTED");
  record.set_detail("no grant that names this caller covers this application");
  record.mutable_caller()->set_name(caller);
  record.mutable_caller()->set_listener("pod");
  record.mutable_caller()->set_peer("ipv4:10.0.0.1:1");
  record.mutable_target()->set_application(application);
  return record;
}

// The records of refused calls, each with its allowance.
class Refusals {
 public:
  void Add(v1::Record record, Aggregator::Time at = kStart, Allowance allowance = Allowance::kOwn) {
    aggregator_.Add(Refusal(std::move(record), allowance), at);
  }
  std::vector<v1::Record> TakeDue(Aggregator::Time now) {
    std::vector<v1::Record> records;
    for (auto& [refusal, count] : aggregator_.TakeDue(now)) records.push_back(std::move(refusal).Take(count));
    return records;
  }
  std::vector<v1::Record> TakeAll() { return TakeDue(Aggregator::Time::max()); }
  std::optional<Aggregator::Time> due() const { return aggregator_.due(); }

 private:
  Aggregator aggregator_{seconds(1)};
};

std::uint64_t Stands(const v1::Record& record) { return std::max<std::uint64_t>(record.count(), 1); }

std::uint64_t TotalOf(const std::vector<v1::Record>& records) {
  std::uint64_t total = 0;
  for (const v1::Record& record : records) total += Stands(record);
  return total;
}

// The applications that records name, those without one as "".
std::vector<std::string> ApplicationsOf(const std::vector<v1::Record>& records) {
  std::vector<std::string> applications;
  for (const v1::Record& record : records) applications.push_back(record.target().application());
  return applications;
}

TEST(Refusals, AlikeOnesWithinASecondAreOneRecordThatKeepsThePeerAndTheRequestIdOfTheFirst) {
  Refusals refusals;
  v1::Record next = Denial("a", "app");
  next.set_request_id("another id");
  next.set_trace("4bf92f3577b34da6a3ce929d0e0e4736");
  next.mutable_caller()->set_peer("ipv4:10.0.0.1:2");
  refusals.Add(Denial("a", "app"));
  refusals.Add(Denial("a", "app"), kStart + milliseconds(999));
  refusals.Add(next, kStart + milliseconds(999));
  EXPECT_EQ(refusals.due(), kStart + seconds(1));
  EXPECT_TRUE(refusals.TakeDue(kStart + milliseconds(999)).empty());
  const auto records = refusals.TakeDue(kStart + seconds(1));
  ASSERT_EQ(records.size(), 1U);
  v1::Record expected = Denial("a", "app");
  expected.set_count(3);
  EXPECT_EQ(records[0].SerializeAsString(), expected.SerializeAsString());
  EXPECT_FALSE(refusals.due());
}

TEST(Refusals, ALoneOneStaysAsItIs) {
  Refusals refusals;
  refusals.Add(Denial("a", "app"));
  const auto first = refusals.TakeDue(kStart + seconds(1));
  refusals.Add(Denial("a", "app"), kStart + milliseconds(1001));
  const auto second = refusals.TakeAll();
  ASSERT_EQ(first.size(), 1U);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(first[0].SerializeAsString(), Denial("a", "app").SerializeAsString());
  EXPECT_EQ(second[0].SerializeAsString(), Denial("a", "app").SerializeAsString());
}

TEST(Refusals, KeepApartWhatDiffers) {
  Refusals refusals;
  v1::Record invalid = Denial("a", "app");
  invalid.set_event("request.invalid");
  v1::Record limited = Denial("a", "app");
  limited.set_reason("RATE_LIMITED");
  v1::Record listener = Denial("a", "app");
  listener.mutable_caller()->set_listener("cluster");
  v1::Record peer = Denial("a", "app");
  peer.mutable_caller()->set_peer("ipv4:10.0.0.2:1");
  v1::Record on_behalf_of = Denial("a", "app");
  on_behalf_of.mutable_caller()->set_on_behalf_of("b");
  v1::Record detail = Denial("a", "app");
  detail.set_detail("no grant names this caller");
  // These fields hold the same bytes in the same order, but end in other places.
  v1::Record scopes = Denial("a", "ap");
  scopes.mutable_target()->set_description("p");
  const std::vector<v1::Record> all = {Denial("a", "app"),
                                       Denial("b", "app"),
                                       Denial("a", "app2"),
                                       invalid,
                                       limited,
                                       listener,
                                       peer,
                                       on_behalf_of,
                                       detail,
                                       scopes};
  for (const v1::Record& record : all) refusals.Add(record);
  const auto records = refusals.TakeAll();
  ASSERT_EQ(records.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(records[i].SerializeAsString(), all[i].SerializeAsString());
  }
}

TEST(Refusals, ACallerHasTwentyDistinctOnesAtOnceAndTheRestAreOneRecordOfItsCallerAndCause) {
  Refusals refusals;
  for (int i = 0; i < 1000; ++i) refusals.Add(Denial("a", "app" + std::to_string(i)));
  refusals.Add(Denial("b", "app"));
  const auto records = refusals.TakeAll();
  ASSERT_EQ(records.size(), 22U);
  EXPECT_EQ(records[19].target().application(), "app19");
  EXPECT_EQ(records[21].target().application(), "app");
  v1::Record rest;
  rest.set_event("request.denied");
  rest.set_reason("NOT_PERMITTED");
  *rest.mutable_caller() = Denial("a", "").caller();
  rest.set_count(980);
  EXPECT_EQ(records[20].SerializeAsString(), rest.SerializeAsString());
}

TEST(Refusals, InTheLongRunACallerHasTwoDistinctOnesASecondAndOneOfTheRest) {
  Refusals refusals;
  std::vector<v1::Record> records;
  for (int ms = 0; ms < 100'000; ms += 10) {
    refusals.Add(Denial("a", "app" + std::to_string(ms)), kStart + milliseconds(ms));
    for (v1::Record& record : refusals.TakeDue(kStart + milliseconds(ms)))
      records.push_back(std::move(record));
  }
  for (v1::Record& record : refusals.TakeAll()) records.push_back(std::move(record));
  EXPECT_EQ(TotalOf(records), 10'000U);
  const auto applications = ApplicationsOf(records);
  const auto reduced = static_cast<std::size_t>(std::ranges::count(applications, ""));
  EXPECT_LE(reduced, 100U);
  EXPECT_LE(records.size() - reduced, 20U + 2 * 100);
  EXPECT_GE(records.size() - reduced, 2U * 100);
}

TEST(Refusals, AllCallersThatNoGrantNamesHaveOneAllowanceTogether) {
  Refusals refusals;
  for (int i = 0; i < 1000; ++i) {
    refusals.Add(Denial("nobody" + std::to_string(i), "app"), kStart, Allowance::kShared);
  }
  const auto records = refusals.TakeAll();
  ASSERT_EQ(records.size(), 21U);
  EXPECT_EQ(TotalOf(records), 1000U);
  EXPECT_EQ(records.back().caller().name(), "");
  EXPECT_EQ(records.back().caller().listener(), "pod");
  EXPECT_EQ(records.back().caller().peer(), "ipv4:10.0.0.1:1");
}

TEST(Refusals, AllUnknownCallersOfAListenerHaveOneAllowanceTogether) {
  Refusals refusals;
  for (int i = 0; i < 1000; ++i) {
    v1::Record unknown = Denial("", "");
    unknown.set_event("request.unauthenticated");
    unknown.mutable_caller()->set_peer("ipv4:10.0." + std::to_string(i / 250) + "." +
                                       std::to_string(i % 250) + ":1");
    refusals.Add(unknown);
  }
  v1::Record elsewhere = Denial("", "");
  elsewhere.mutable_caller()->set_listener("cluster");
  refusals.Add(elsewhere);
  const auto records = refusals.TakeAll();
  ASSERT_EQ(records.size(), 22U);
  EXPECT_EQ(records[20].count(), 980U);
  EXPECT_EQ(records[20].caller().listener(), "pod");
  EXPECT_EQ(records[20].caller().peer(), "");
  EXPECT_EQ(records[21].SerializeAsString(), elsewhere.SerializeAsString());
}

TEST(Refusals, OfAnyNumberOfCallersAreBoundedAndNoneIsLost) {
  Refusals refusals;
  constexpr std::size_t kRefusals = 10 * Aggregator::kMaxReports;
  for (std::size_t i = 0; i < kRefusals; ++i) {
    refusals.Add(
        Denial("caller" + std::to_string(i % (5 * Aggregator::kMaxAccounts)), "app" + std::to_string(i)));
  }
  const auto records = refusals.TakeAll();
  EXPECT_LE(records.size(), Aggregator::kMaxReports + Aggregator::kMaxAccounts + 1);
  EXPECT_EQ(TotalOf(records), kRefusals);
  const auto nameless =
      std::ranges::find(records, "", [](const v1::Record& record) { return record.caller().name(); });
  ASSERT_NE(nameless, records.end());
  EXPECT_GT(nameless->count(), 1U);
}

}  // namespace
}  // namespace tokend::audit
