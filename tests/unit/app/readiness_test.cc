#include "daemon/app/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::app {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ReadinessTest : public testing::Test {
 protected:
  fakes::HandCrankedLoop loop_;
  bool writable_ = true;
  std::vector<bool> told_;
  std::unique_ptr<Readiness> readiness_ = std::make_unique<Readiness>(
      loop_, [this] { return writable_; }, [this](bool ready) { told_.push_back(ready); });
};

TEST_F(ReadinessTest, IsToldAtOnceFromTheStartToTheDrain) {
  loop_.RunPending();
  EXPECT_THAT(told_, IsEmpty());
  readiness_->SetServing(true);
  EXPECT_THAT(told_, ElementsAre(true));
  readiness_->SetServing(false);
  EXPECT_THAT(told_, ElementsAre(true, false));
}

TEST_F(ReadinessTest, IsNotThereWhileTheLogCannotBeWritten) {
  readiness_->SetServing(true);
  loop_.RunPending();
  writable_ = false;
  loop_.Advance(Readiness::kLook);
  EXPECT_THAT(told_, ElementsAre(true, false));
  EXPECT_TRUE(readiness_->serving());
  writable_ = true;
  loop_.Advance(Readiness::kLook);
  EXPECT_THAT(told_, ElementsAre(true, false, true));
}

TEST_F(ReadinessTest, StaysAwayWhileItDrainsWhateverTheLogDoes) {
  readiness_->SetServing(true);
  readiness_->SetServing(false);
  writable_ = false;
  loop_.Advance(Readiness::kLook);
  writable_ = true;
  loop_.Advance(Readiness::kLook);
  EXPECT_THAT(told_, ElementsAre(true, false));
}

TEST_F(ReadinessTest, TellsNobodyOnceItHasEnded) {
  readiness_->SetServing(true);
  loop_.RunPending();
  readiness_.reset();
  writable_ = false;
  loop_.Advance(2 * Readiness::kLook);
  EXPECT_THAT(told_, ElementsAre(true));
}

}  // namespace
}  // namespace tokend::app
