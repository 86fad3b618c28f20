#include "daemon/state/grouped_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace tokend::state {
namespace {

using Grouped = GroupedQueue<std::string>;
using Served = std::vector<std::string>;

// A call such as "Aa1" is of the group A and of the caller a.
Grouped::Place PushCall(Grouped& queue, const std::string& call) {
  return queue.Push(call.substr(0, 1), call.substr(1, 1), call);
}
void PushCalls(Grouped& queue, const Served& calls) {
  for (const std::string& call : calls) PushCall(queue, call);
}
Served DrainAll(Grouped& queue) {
  Served served;
  while (!queue.empty()) served.push_back(queue.PopFront());
  return served;
}

TEST(GroupedQueue, ServesGroupsInTurnAndWithinAGroupItsCallers) {
  Grouped queue;
  PushCalls(queue, {"Aa1", "Aa2", "Aa3", "Ab1", "Bc1", "Bc2", "Cd1"});
  EXPECT_EQ(DrainAll(queue), (Served{"Aa1", "Bc1", "Cd1", "Ab1", "Bc2", "Aa2", "Aa3"}));
}

TEST(GroupedQueue, ManyNamesOfOneGroupGetOneGroupsShare) {
  Grouped queue;
  for (int name = 0; name < 250; ++name) queue.Push("many", std::to_string(name), "many");
  for (int call = 0; call < 6; ++call) queue.Push("one", "one", "one");
  Served first = DrainAll(queue);
  first.resize(12);
  EXPECT_EQ(std::ranges::count(first, "one"), 6);
}

TEST(GroupedQueue, ANewGroupStandsWhereWhatIsServedStands) {
  Grouped queue;
  PushCalls(queue, {"Aa1", "Aa2", "Aa3", "Ba1", "Ba2"});
  EXPECT_EQ(queue.PopFront(), "Aa1");
  EXPECT_EQ(queue.PopFront(), "Ba1");
  PushCalls(queue, {"Ca1", "Ca2"});
  EXPECT_EQ(DrainAll(queue), (Served{"Ca1", "Aa2", "Ba2", "Ca2", "Aa3"}));
}

TEST(GroupedQueue, WhatAGroupHasHadCountsAgainstItUntilTheOthersHaveHadAsMuch) {
  Grouped queue;
  PushCalls(queue, {"Aa1", "Ba1", "Ba2", "Ba3"});
  EXPECT_EQ(queue.PopFront(), "Aa1");
  PushCall(queue, "Aa2");
  EXPECT_EQ(DrainAll(queue), (Served{"Ba1", "Ba2", "Aa2", "Ba3"}));
}

TEST(GroupedQueue, ACallThatLeavesDoesNotCountAgainstItsGroup) {
  Grouped queue;
  const Grouped::Place first = PushCall(queue, "Aa1");
  PushCalls(queue, {"Aa2", "Ba1", "Ba2"});
  EXPECT_EQ(queue.Remove(first), "Aa1");
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(DrainAll(queue), (Served{"Aa2", "Ba1", "Ba2"}));
}

TEST(GroupedQueue, SaysExactlyHowManyAreAhead) {
  std::mt19937 random(12);
  const auto pick = [&random](int below) {
    return static_cast<int>(random() % static_cast<unsigned>(below));
  };
  for (int round = 0; round < 300; ++round) {
    Grouped queue;
    std::map<std::string, Grouped::Place> places;
    int number = 0;
    const auto push = [&](const std::string& group, const std::string& caller) {
      const std::string call = group + caller + std::to_string(++number);
      places[call] = queue.Push(group, caller, call);
      return call;
    };
    for (int step = 0; step < 40; ++step) {
      if (pick(3) != 0) {
        push(std::string(1, static_cast<char>('A' + pick(3))),
             std::string(1, static_cast<char>('a' + pick(3))));
      } else if (!queue.empty() && pick(2) == 0) {
        places.erase(queue.PopFront());
      } else if (!places.empty()) {
        const auto leaves = std::next(places.begin(), pick(static_cast<int>(places.size())));
        queue.Remove(leaves->second);
        places.erase(leaves);
      }
    }
    const std::string group(1, static_cast<char>('A' + pick(4)));
    const std::size_t ahead_of_next = queue.Ahead(group, "a");
    const std::string next = push(group, "a");
    EXPECT_EQ(queue.Ahead(places.at(next)), ahead_of_next);
    std::map<std::string, std::size_t> ahead;
    for (const auto& [call, place] : places) ahead[call] = queue.Ahead(place);
    std::size_t served = 0;
    for (const std::string& call : DrainAll(queue)) EXPECT_EQ(ahead.at(call), served++) << call;
  }
}

TEST(GroupedQueue, TheNewestOfWhoeverHasMostGivesWay) {
  Grouped queue;
  PushCalls(queue, {"Aa1", "Aa2", "Ab1", "Ab2", "Ab3", "Ba1"});
  EXPECT_TRUE(queue.WouldDisplaceOne("B", "a"));
  EXPECT_EQ(queue.PopDisplaced("B", "a"), "Ab3") << "the most of A, which has most";
  EXPECT_FALSE(queue.WouldDisplaceOne("A", "a")) << "it would have most itself";
  EXPECT_TRUE(queue.WouldDisplaceOne("A", "c"));
  EXPECT_EQ(queue.PopDisplaced("A", "c"), "Ab2") << "of two with as many, the newest";
  EXPECT_EQ(DrainAll(queue), (Served{"Aa1", "Ba1", "Ab1", "Aa2"}));
}

TEST(GroupedQueue, NobodyGivesWayToOneThatWouldHaveAsManyAsAnyOther) {
  Grouped queue;
  PushCalls(queue, {"Aa1", "Ba1", "Ca1"});
  EXPECT_FALSE(queue.WouldDisplaceOne("D", "a"));
  EXPECT_FALSE(queue.WouldDisplaceOne("A", "b"));
  EXPECT_FALSE(Grouped().WouldDisplaceOne("A", "a"));
}

}  // namespace
}  // namespace tokend::state
