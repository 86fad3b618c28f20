#include "daemon/state/fair_queue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/fakes/counted_memory.h"

namespace tokend::state {
namespace {

using Queue = FairQueue<std::string>;

// Serves all, and says in which order.
std::vector<std::string> Drain(Queue& queue) {
  std::vector<std::string> served;
  while (!queue.empty()) served.push_back(queue.PopFront());
  return served;
}

void PushAll(Queue& queue, const std::vector<std::string>& calls) {
  for (const std::string& call : calls) queue.Push(call.substr(0, 1), call);
}

using Calls = std::vector<std::string>;

TEST(FairQueue, ServesCallersInTurnAndNotInOrderOfArrival) {
  Queue queue;
  PushAll(queue, {"a1", "a2", "a3", "b1", "b2", "c1"});
  EXPECT_EQ(Drain(queue), (Calls{"a1", "b1", "c1", "a2", "b2", "a3"}));
}

TEST(FairQueue, ServesOneCallersCallsInTheirOrder) {
  Queue queue;
  PushAll(queue, {"a1", "a2", "a3"});
  EXPECT_EQ(Drain(queue), (Calls{"a1", "a2", "a3"}));
}

TEST(FairQueue, AGreedyCallerDelaysAnothersSingleCallByOneTurnAtMost) {
  for (int served_before = 0; served_before < 199; ++served_before) {
    Queue queue;
    for (int call = 0; call < 200; ++call) queue.Push("greedy", "greedy");
    for (int turn = 0; turn < served_before; ++turn) queue.PopFront();
    EXPECT_LE(queue.Ahead("modest"), 1U);
    queue.Push("modest", "modest");
    const std::string first = queue.PopFront();
    EXPECT_TRUE(first == "modest" || queue.PopFront() == "modest") << served_before << " served before";
  }
}

TEST(FairQueue, WhoHadMoreStandsBehindUntilTheOthersHadAsMuch) {
  Queue queue;
  PushAll(queue, {"a1", "a2", "a3", "b1", "b2", "b3", "b4"});
  EXPECT_EQ(queue.PopFront(), "a1");
  EXPECT_EQ(queue.PopFront(), "b1");
  EXPECT_EQ(queue.PopFront(), "a2");
  // A newcomer stands where what is served stands, not where it would be had it always been here.
  PushAll(queue, {"c1", "c2", "a4"});
  EXPECT_EQ(Drain(queue), (Calls{"b2", "c1", "a3", "b3", "c2", "b4", "a4"}));
}

TEST(FairQueue, ACallThatLeavesDoesNotCountAgainstItsCaller) {
  for (const int leaver : {0, 1, 2}) {
    Queue queue;
    std::vector<Queue::Place> places;
    for (const char* call : {"a1", "a2", "a3"}) places.push_back(queue.Push("a", call));
    PushAll(queue, {"b1", "b2", "b3"});
    queue.Remove(places[static_cast<std::size_t>(leaver)]);
    queue.Push("a", "a4");
    Calls stays = {"a1", "a2", "a3", "a4"};
    stays.erase(stays.begin() + leaver);
    EXPECT_EQ(Drain(queue), (Calls{stays[0], "b1", stays[1], "b2", "b3", stays[2]})) << leaver;
  }
}

TEST(FairQueue, CallsThatAllTimeOutLeaveTheirCallerWhereItWas) {
  Queue queue;
  queue.Push("b", "b1");
  queue.Push("b", "b2");
  for (int round = 0; round < 100; ++round) {
    const Queue::Place first = queue.Push("a", "a1");
    const Queue::Place second = queue.Push("a", "a2");
    queue.Remove(first);
    queue.Remove(second);
  }
  PushAll(queue, {"a3", "c1", "c2"});
  EXPECT_EQ(Drain(queue), (Calls{"b1", "a3", "c1", "b2", "c2"}));
}

TEST(FairQueue, TheNewestOfTheCallerWithMostGivesWayToOneWithLess) {
  Queue queue;
  PushAll(queue, {"a1", "a2", "a3", "b1"});
  const std::string a = "a";
  const std::string b = "b";
  const std::string c = "c";
  EXPECT_EQ(queue.CallerOfMost(&b), a);
  EXPECT_EQ(queue.CallerOfMost(&c), a);
  EXPECT_EQ(queue.CallerOfMost(&a), std::nullopt);
  EXPECT_EQ(queue.PopNewestOf(a), "a3");
  EXPECT_EQ(queue.CallerOfMost(&b), std::nullopt) << "it would have as many";
  EXPECT_EQ(queue.CallerOfMost(&c), a);
  EXPECT_EQ(queue.CallerOfMost(nullptr), a);
}

TEST(FairQueue, SaysHowManyAreAhead) {
  std::mt19937 random(12);
  for (int round = 0; round < 300; ++round) {
    Queue queue;
    std::map<std::string, Queue::Place> places;
    int calls = 0;
    for (int step = 0; step < 60; ++step) {
      const std::string caller(1, static_cast<char>('a' + random() % 5));
      if (random() % 3 == 0 && !queue.empty()) {
        places.erase(queue.PopFront());
      } else if (random() % 4 == 0 && !places.empty()) {
        const auto leaver = std::next(places.begin(), static_cast<std::ptrdiff_t>(random() % places.size()));
        ASSERT_EQ(queue.Remove(leaver->second), leaver->first);
        places.erase(leaver);
      } else {
        const std::string call = caller + std::to_string(++calls);
        const std::size_t told = queue.Ahead(caller);
        const Queue::Place place = queue.Push(caller, call);
        ASSERT_EQ(queue.Ahead(place), told);
        places.emplace(call, place);
      }
    }
    std::map<std::string, std::size_t> ahead;
    for (const auto& [call, place] : places) ahead[call] = queue.Ahead(place);
    const Calls order = Drain(queue);
    ASSERT_EQ(order.size(), places.size());
    for (std::size_t turn = 0; turn < order.size(); ++turn) ASSERT_EQ(ahead.at(order[turn]), turn);
  }
}

TEST(FairQueue, ForgetsWhatWasHadWhereNobodyWaits) {
  Queue queue;
  for (int call = 0; call < 50; ++call) queue.Push("a", "a0");
  Drain(queue);
  PushAll(queue, {"a1", "b1", "b2"});
  EXPECT_EQ(Drain(queue), (Calls{"a1", "b1", "b2"}));
}

TEST(FairQueue, NewCallersWithoutEndDoNotHoldUpTheOthers) {
  Queue queue;
  PushAll(queue, {"a1", "a2"});
  int turns = 0;
  for (bool served = false; !served; ++turns) {
    ASSERT_LE(turns, 70000);
    queue.Push("new-" + std::to_string(turns), "new");
    served = queue.PopFront() == "a2";
  }
  EXPECT_GT(turns, 60000) << "who has had nothing goes first";
}

TEST(FairQueue, KeepsTheHistoryOfSoManyCallersOnly) {
  const std::int64_t before = fakes::CountedBytes();
  Queue queue;
  fakes::ForgetMostCountedBytes();
  for (int caller = 0; caller < 300000; ++caller) {
    queue.Push("spiffe://prod.example/ns/ci/sa/" + std::to_string(caller), "call");
    if (queue.size() > 256) queue.PopFront();
  }
  EXPECT_LT(fakes::MostCountedBytes() - before, std::int64_t{16} << 20);
}

}  // namespace
}  // namespace tokend::state
