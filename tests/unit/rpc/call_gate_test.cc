#include "daemon/rpc/call_gate.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <variant>

namespace tokend::rpc {
namespace {

using std::chrono::steady_clock;

class CallGateTest : public testing::Test {
 protected:
  std::optional<CallGate::Pass> Enter() {
    auto entered = gate_->Enter();
    if (const Reason* reason = std::get_if<Reason>(&entered)) {
      refused_ = *reason;
      return std::nullopt;
    }
    return std::get<CallGate::Pass>(std::move(entered));
  }

  telemetry::Metrics metrics_;
  std::shared_ptr<CallGate> gate_ = std::make_shared<CallGate>(2, metrics_);
  std::optional<Reason> refused_;
};

TEST_F(CallGateTest, LetsInAsManyAsTheMaximum) {
  auto first = Enter();
  const auto second = Enter();
  EXPECT_FALSE(Enter());
  EXPECT_EQ(refused_, Reason::kOverloaded);
  EXPECT_EQ(gate_->calls_in_flight(), 2U);

  first.reset();
  EXPECT_TRUE(Enter());
}

TEST_F(CallGateTest, LetsNoneInOnceClosed) {
  gate_->Close();
  EXPECT_FALSE(Enter());
  EXPECT_EQ(refused_, Reason::kShuttingDown);
}

TEST_F(CallGateTest, WaitsForTheLastPassAndNoLongerThanToldTo) {
  auto pass = Enter();
  EXPECT_FALSE(gate_->WaitIdle(steady_clock::now()));
  std::thread leaver([&] { pass.reset(); });
  EXPECT_TRUE(gate_->WaitIdle(steady_clock::now() + std::chrono::seconds(10)));
  leaver.join();
}

TEST_F(CallGateTest, OutlivesItsOwnerAsLongAsAPassDoes) {
  const auto pass = Enter();
  const std::weak_ptr<CallGate> watched = gate_;
  gate_.reset();
  EXPECT_FALSE(watched.expired());
}

}  // namespace
}  // namespace tokend::rpc
