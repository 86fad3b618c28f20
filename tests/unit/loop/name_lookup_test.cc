#include "daemon/loop/name_lookup.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "daemon/loop/curl_loop.h"
#include "tests/unit/loop/asking_client.h"
#include "tests/unit/loop/name_server.h"

namespace tokend::loop {
namespace {

using Addresses = std::vector<std::string>;

class SystemNames : public SlowNames {
 protected:
  SystemNames() { loop_.Start(); }
  ~SystemNames() override {
    if (names_ != nullptr) RunOnLoop([this] { names_.reset(); });
    loop_.Stop();
  }

  void RunOnLoop(const std::function<void()>& what) {
    std::promise<void> ran;
    loop_.Post([&] {
      what();
      ran.set_value();
    });
    ran.get_future().wait();
  }

  std::future<Addresses> Begin(const std::string& host) {
    auto found = std::make_shared<std::promise<Addresses>>();
    RunOnLoop([&] {
      names_->LookUp(host, [found](Addresses addresses) { found->set_value(std::move(addresses)); });
    });
    return found->get_future();
  }

  Addresses Find(const std::string& host) {
    std::future<Addresses> found = Begin(host);
    if (found.wait_for(kPatience) == std::future_status::ready) return found.get();
    ADD_FAILURE() << "no answer";
    return {};
  }

  CurlLoop loop_;
  std::unique_ptr<NameLookup> names_ = std::make_unique<SystemNameLookup>(loop_);
};

TEST_F(SystemNames, AreFoundSortedAndOnce) {
  EXPECT_EQ(Find("several.test"), (Addresses{"10.0.0.1", "10.0.0.2", "fd00::1"}));
  EXPECT_EQ(Find("127.0.0.1"), Addresses{"127.0.0.1"});
  EXPECT_EQ(Find("absent.test"), Addresses{});
}

TEST_F(SystemNames, ASlowLookupDelaysNeitherTheLoopNorTheShutdown) {
  std::future<Addresses> slow = Begin("slow.test");
  Names().AwaitWaiter();
  RunOnLoop([] {});
  RunOnLoop([this] { names_.reset(); });
  loop_.Stop();
  Names().Open();
  // The answer had no receiver any more: the NameLookup and its callback were destroyed.
  EXPECT_THROW(slow.get(), std::future_error);
}

TEST(NameLookup, KnowsAnIpAddress) {
  EXPECT_TRUE(IsIpAddress("10.0.0.1"));
  EXPECT_TRUE(IsIpAddress("::1"));
  EXPECT_FALSE(IsIpAddress("localhost"));
  EXPECT_FALSE(IsIpAddress("[::1]"));
}

}  // namespace
}  // namespace tokend::loop
