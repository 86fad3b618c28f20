#include "daemon/issue/upstream_slots.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace tokend::issue {
namespace {

using Names = std::vector<std::string>;

class UpstreamSlotsTest : public testing::Test {
 protected:
  // A call by this name, "CALLER-NUMBER". Writes down when its turn comes.
  void Ask(const std::string& name) {
    held_[name] = slots_.Acquire({"acme", name.substr(0, name.find('-'))}, {},
                                 [this, name] { turns_.push_back(name); });
  }
  void Drop(const std::string& name) { const auto dropped = held_.extract(name); }

  Names turns_;
  UpstreamSlots slots_{2};
  std::map<std::string, UpstreamSlots::Slot> held_;
};

TEST_F(UpstreamSlotsTest, GivesAFreeSlotAtOnceAndCallsNobody) {
  Ask("a-1");
  Ask("a-2");
  EXPECT_TRUE(held_["a-1"].held());
  EXPECT_TRUE(held_["a-2"].held());
  EXPECT_TRUE(turns_.empty());
}

TEST_F(UpstreamSlotsTest, QueuesACallUntilASlotIsDropped) {
  for (const char* name : {"a-1", "a-2", "a-3", "a-4"}) Ask(name);
  EXPECT_FALSE(held_["a-3"].held());
  Drop("a-1");
  EXPECT_EQ(turns_, Names{"a-3"});
  EXPECT_TRUE(held_["a-3"].held());
  EXPECT_FALSE(held_["a-4"].held());
}

TEST_F(UpstreamSlotsTest, ServesCallersInTurn) {
  for (const char* name : {"a-1", "a-2", "a-3", "a-4", "a-5", "b-1"}) Ask(name);
  for (const char* name : {"a-1", "a-2", "a-3"}) Drop(name);
  EXPECT_EQ(turns_, (Names{"a-3", "b-1", "a-4"}));
}

TEST_F(UpstreamSlotsTest, DoesNotServeACallThatLeftTheQueue) {
  for (const char* name : {"a-1", "a-2", "a-3", "a-4"}) Ask(name);
  Drop("a-3");
  Drop("a-1");
  EXPECT_EQ(turns_, Names{"a-4"});
}

TEST_F(UpstreamSlotsTest, GivesAllItsSlotsAgainOnceTheyAreDropped) {
  for (const char* name : {"a-1", "a-2", "a-3", "a-4", "a-5"}) Ask(name);
  for (const char* name : {"a-4", "a-1", "a-3", "a-2", "a-5"}) Drop(name);
  Ask("b-1");
  Ask("b-2");
  Ask("b-3");
  EXPECT_TRUE(held_["b-1"].held() && held_["b-2"].held());
  EXPECT_FALSE(held_["b-3"].held());
}

TEST_F(UpstreamSlotsTest, ServesTheNextCallWhereOneDropsItsSlotAtItsTurn) {
  Ask("a-1");
  Ask("a-2");
  int depth = 0;
  int turns = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "b-" + std::to_string(i);
    held_[name] = slots_.Acquire({"acme", "b"}, {}, [&, name] {
      EXPECT_EQ(++depth, 1) << "one turn within another";
      ++turns;
      Drop(name);
      --depth;
    });
  }
  Drop("a-1");
  EXPECT_EQ(turns, 1000);
}

TEST_F(UpstreamSlotsTest, QueuesACallThatComesWhileOthersAreServedBehindThem) {
  Ask("a-1");
  Ask("a-2");
  held_["b-1"] = slots_.Acquire({"acme", "b"}, {}, [this] {
    turns_.emplace_back("b-1");
    Drop("b-1");  // a slot is free, and c-1 waits for it
    Ask("d-1");
    EXPECT_FALSE(held_["d-1"].held());
  });
  Ask("c-1");
  Drop("a-1");
  EXPECT_EQ(turns_, (Names{"b-1", "c-1"}));
}

TEST_F(UpstreamSlotsTest, FreesASlotThatWasMovedOnce) {
  Ask("a-1");
  Ask("a-2");
  Ask("a-3");
  Ask("a-4");
  UpstreamSlots::Slot moved = std::move(held_["a-1"]);
  Drop("a-1");
  EXPECT_TRUE(turns_.empty());
  moved.Drop();
  moved.Drop();
  EXPECT_EQ(turns_, Names{"a-3"});
}

constexpr auto kShared = Shares::Policy::kShared;
constexpr auto kOneHolder = Shares::Policy::kOneHolder;

// Sixteen slots, of calls by the name "ORGANIZATION/CALLER-NUMBER".
class SharedSlots : public testing::Test {
 protected:
  bool Ask(const std::string& name, const UpstreamSlots::Policies& policies = {}) {
    const std::size_t slash = name.find('/');
    const std::size_t dash = name.find('-');
    UpstreamSlots::Slot& slot = held_[name];
    slot = slots_.Acquire({name.substr(0, slash), name.substr(slash + 1, dash - slash - 1)}, policies,
                          [this, name] { turns_.push_back(name); });
    return slot.held();
  }
  // How many of these calls, which are numbered, get a slot at once.
  int AskMany(const std::string& who, int count, const UpstreamSlots::Policies& policies = {}) {
    int held = 0;
    for (int i = 0; i < count; ++i) held += Ask(who + "-" + std::to_string(i), policies) ? 1 : 0;
    return held;
  }
  void Drop(const std::string& name) { const auto dropped = held_.extract(name); }

  Names turns_;
  UpstreamSlots slots_{16};
  std::map<std::string, UpstreamSlots::Slot> held_;
};

TEST_F(SharedSlots, OneSlowOrganizationLeavesSlotsToTheOthers) {
  constexpr UpstreamSlots::Policies kPolicies{kShared, kOneHolder};
  EXPECT_EQ(AskMany("slow/ci", 100, kPolicies), 12);
  EXPECT_EQ(AskMany("other/ci", 4, kPolicies), 4);
  Drop("slow/ci-0");
  EXPECT_TRUE(turns_.empty()) << "the last quarter is not for whoever has more than a quarter";
  EXPECT_TRUE(Ask("third/ci-0", kPolicies));
}

TEST_F(SharedSlots, OneSlowCallerLeavesSlotsToTheOthersOfItsOrganization) {
  constexpr UpstreamSlots::Policies kPolicies{kOneHolder, kShared};
  EXPECT_EQ(AskMany("acme/slow", 100, kPolicies), 12);
  EXPECT_EQ(AskMany("acme/other", 4, kPolicies), 4);
}

TEST_F(SharedSlots, AllSlotsAreTheirsWhereTheConfigurationNamesOneOrganizationAndOneCaller) {
  EXPECT_EQ(AskMany("acme/ci", 100, {kOneHolder, kOneHolder}), 16);
}

TEST_F(SharedSlots, OrganizationsTakeTurnsAndWithinOneItsCallers) {
  constexpr UpstreamSlots::Policies kPolicies{kOneHolder, kOneHolder};
  AskMany("first/x", 16, kPolicies);
  for (const char* name : {"a/y-0", "a/y-1", "a/z-0", "b/y-0", "b/y-1"}) EXPECT_FALSE(Ask(name, kPolicies));
  for (int i = 0; i < 5; ++i) Drop("first/x-" + std::to_string(i));
  EXPECT_EQ(turns_, (Names{"a/y-0", "b/y-0", "a/z-0", "b/y-1", "a/y-1"}));
}

TEST_F(SharedSlots, IsEmptyOnceAllHaveLeft) {
  AskMany("a/x", 30);
  AskMany("b/y", 30);
  while (!held_.empty()) Drop(held_.begin()->first);
  EXPECT_EQ(AskMany("a/x", 30, {kOneHolder, kOneHolder}), 16);
}

}  // namespace
}  // namespace tokend::issue
