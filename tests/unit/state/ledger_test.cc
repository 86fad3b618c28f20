#include "daemon/state/ledger.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::state {
namespace {

using std::chrono::minutes;

struct PlainEntry {
  std::optional<Outcome> outcome;
  TimePoint intended_at{};
};

TEST(LedgerOfOutcomes, RemembersAReplacedOutcomeFromItsOwnIntent) {
  fakes::HandCrankedLoop loop;
  std::vector<std::string> forgotten;
  state::Ledger<PlainEntry> ledger(loop, minutes(10),
                                   [&](const std::string& request_id) { forgotten.push_back(request_id); });
  const TimePoint begin = loop.clock().Now();
  PlainEntry& entry = ledger.Put("a", {});
  ledger.Settle(entry, Failure{Reason::kOutcomeUnknown}, begin);
  ledger.Settle(entry, Failure{Reason::kOutcomeUnknown}, begin + minutes(5));
  loop.Advance(minutes(11));
  EXPECT_NE(ledger.Find("a"), nullptr);
  loop.Advance(minutes(5));
  EXPECT_EQ(ledger.Find("a"), nullptr);
  EXPECT_EQ(forgotten, std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace tokend::state
