#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/fakes/temporary_folder.h"
#include "tests/unit/state/redis_world.h"

// What only Redis has of the limits: several replicas, and a user with permissions. The rest is in
// state_contract_test.cc.
namespace tokend::state {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RedisLimits : public RedisWorld {
 protected:
  RedisLimits() : a_(Start()), b_(Start()) {}

  Admission Call(const Charges& charges, const std::string& caller = "ci") {
    return AdmissionOf("id-" + std::to_string(++calls_), caller, charges);
  }

  Replica& a_;
  Replica& b_;
  int calls_ = 0;
};

TEST_F(RedisLimits, ADeadReplicasWaitingCallsStandInNobodysWay) {
  const Charges charges = Organization(ChargeOf("org", 1, milliseconds(100)));
  // Nothing can be had until the lease is over.
  const Charges slow = Organization(ChargeOf("org", 1, seconds(6)));
  ASSERT_EQ(Outcome(Admit(b_, Call(slow))), "fresh");
  const Admission dead = Call(charges, "dead");
  for (int i = 0; i < 5; ++i) Admit(a_, Call(charges, "dead"));
  Admit(a_, dead);
  ASSERT_TRUE(AwaitWaiting(6));
  const Seen& alive = Admit(b_, Call(charges, "dead"));
  ASSERT_TRUE(AwaitWaiting(7));
  Kill(a_);
  EXPECT_EQ(Outcome(alive), "fresh");
  EXPECT_EQ(Waiting(), 0U);
  // Its call was not sent, and nobody was given its turn.
  EXPECT_EQ(Now(b_, dead.request_id, "dead"), "fresh");
}

TEST_F(RedisLimits, WhoLeavesBeforeItsSpendingIsAnsweredSpendsNothing) {
  const Charges charges = Own(ChargeOf("own", 1, seconds(60)));
  const SeenSpend& left = Spend(a_, charges, seconds(10));
  a_->Leave("none", &left);
  EXPECT_TRUE(loop_.RunUntil([&] { return Outcome(Admit(a_, Call(charges))) == "fresh"; }));
  EXPECT_EQ(left, std::nullopt);
}

TEST_F(RedisLimits, ChecksAsOneWouldSpendWhereADeadReplicasCallsWait) {
  const Charges charges = Organization(ChargeOf("org", 1, seconds(1)));
  ASSERT_EQ(Outcome(Admit(a_, Call(charges))), "fresh");
  Admit(a_, Call(charges));
  ASSERT_TRUE(AwaitWaiting(1));
  Kill(a_);
  std::istringstream leases(server_.Ask({"KEYS", "{tokend}:p:*"}));
  for (std::string lease; leases >> lease;) server_.Ask({"HSET", lease, "lease", "0"});
  loop_.RunFor(milliseconds(1100));
  std::optional<std::optional<Failure>> checked;
  b_->Check(charges, Clock() + milliseconds(500),
            [&](std::optional<Failure> refusal) { checked = std::move(refusal); });
  ASSERT_TRUE(loop_.RunUntil([&] { return checked.has_value(); }));
  EXPECT_EQ(*checked, std::nullopt);
}

// The user's permissions, as deploy/redis.md has them.
std::vector<std::string> DocumentedUser() {
  std::ifstream file(std::string(TOKEND_SOURCE) + "/deploy/redis.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t begin = text.find("ACL SETUSER");
  std::istringstream words(text.substr(begin, text.find("```", begin) - begin));
  std::vector<std::string> command;
  for (std::string word; words >> word;) command.push_back(word == ">PASSWORD" ? ">secret" : word);
  return command;
}

TEST_F(RedisWorld, EverythingIsPermittedToTheUserThatTheDocsName) {
  ASSERT_EQ(server_.Ask(DocumentedUser()), "OK");
  server_.Ask({"DEL", "{tokend}:epoch"});
  username_ = "tokend";
  const fakes::TemporaryFolder folder;
  password_file_ = folder / "password";
  fakes::WriteSecret(password_file_, "secret");
  Replica& a = Start();
  const Charges charges = Both(ChargeOf("own", 9, seconds(60)), ChargeOf("org", 1, milliseconds(300)));
  const Seen& first = Admit(a, AdmissionOf("x", "ci", charges));
  ASSERT_EQ(Outcome(first), "fresh");
  const Seen& left = Admit(a, AdmissionOf("y", "ci", charges));
  const Seen& later = Admit(a, AdmissionOf("z", "ci", charges));
  ASSERT_TRUE(AwaitWaiting(2));
  a->Leave("y", &left);
  EXPECT_EQ(Outcome(later), "fresh");
  a->GiveBack(charges, SpentIn(first));
  a->Settle("x", AnswerOf("bearer"), Clock());
  EXPECT_EQ(Now(a, "x"), "bearer");
  a->Refuse("z", {.reason = Reason::kUpstreamRejected});
  EXPECT_EQ(Now(a, "z"), "fresh");
  std::optional<Result<std::vector<TimePoint>>> levels;
  a->Levels(charges.own, [&](Result<std::vector<TimePoint>> result) { levels = std::move(result); });
  ASSERT_TRUE(loop_.RunUntil([&] { return levels.has_value(); }));
  EXPECT_TRUE(levels->ok());
  loop_.RunFor(milliseconds(1200));  // a beat
  EXPECT_TRUE(a->reach().ok());
}

}  // namespace
}  // namespace tokend::state
