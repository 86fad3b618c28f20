#include "daemon/upstream/central_addresses.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::upstream {
namespace {

using namespace std::chrono_literals;
using Addresses = std::vector<std::string>;

class ScriptedLookup final : public loop::NameLookup {
 public:
  explicit ScriptedLookup(std::vector<Done>& asked) : asked_(asked) {}
  void LookUp(const std::string& host, Done done) override {
    EXPECT_EQ(host, "centre.test");
    asked_.push_back(std::move(done));
  }

 private:
  std::vector<Done>& asked_;
};

class CentralAddressesTest : public testing::Test {
 protected:
  // Answers the look-up that runs.
  void Find(const Addresses& found) {
    ASSERT_FALSE(asked_.empty());
    Done done = std::move(asked_.back());
    asked_.clear();
    done(found);
  }

  using Done = loop::NameLookup::Done;

  fakes::HandCrankedLoop loop_;
  std::vector<Done> asked_;  // the look-ups that run
  std::vector<Addresses> told_;
  CentralAddresses addresses_{"centre.test", std::make_unique<ScriptedLookup>(asked_), loop_,
                              [this](const Addresses& found) { told_.push_back(found); }};
};

TEST_F(CentralAddressesTest, AreLookedUpAtTheStartAndEveryThirtySeconds) {
  EXPECT_TRUE(addresses_.pending());
  loop_.Advance(0s);
  EXPECT_TRUE(addresses_.pending());
  Find({"10.0.0.1"});
  EXPECT_EQ(told_, (std::vector<Addresses>{{"10.0.0.1"}}));
  loop_.Advance(29s);
  EXPECT_TRUE(asked_.empty());
  loop_.Advance(1s);
  Find({"10.0.0.2"});
  EXPECT_EQ(told_.back(), Addresses{"10.0.0.2"});
}

TEST_F(CentralAddressesTest, AreLookedUpWhenAskedForAtMostOnceASecond) {
  loop_.Advance(0s);
  addresses_.Refresh();
  EXPECT_EQ(asked_.size(), 1u);
  Find({"10.0.0.1"});
  addresses_.Refresh();
  addresses_.Refresh();
  loop_.Advance(999ms);
  EXPECT_TRUE(asked_.empty());
  loop_.Advance(1ms);
  EXPECT_EQ(asked_.size(), 1u);
  Find({"10.0.0.1"});
  loop_.Advance(10s);
  addresses_.Refresh();
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(CentralAddressesTest, AreLookedUpAgainSoonerAfterAFailure) {
  loop_.Advance(0s);
  for (const auto pause : {1s, 2s, 4s, 8s, 16s, 30s, 30s}) {
    Find({});
    EXPECT_FALSE(addresses_.pending());
    loop_.Advance(pause - 1ms);
    EXPECT_TRUE(asked_.empty());
    loop_.Advance(1ms);
  }
  Find({"10.0.0.1"});
  loop_.Advance(30s);
  Find({});
  loop_.Advance(1s);
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(CentralAddressesTest, AreNotAwaitedForLongFromANameServerThatHangs) {
  loop_.Advance(0s);
  loop_.Advance(5s);
  EXPECT_FALSE(addresses_.pending());
  EXPECT_EQ(told_, (std::vector<Addresses>{{}}));
  // One look-up at a time.
  addresses_.Refresh();
  loop_.Advance(1h);
  EXPECT_EQ(asked_.size(), 1u);
  Find({"10.0.0.1"});
  EXPECT_EQ(told_.back(), Addresses{"10.0.0.1"});
}

}  // namespace
}  // namespace tokend::upstream
