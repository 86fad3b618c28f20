#include "daemon/base/callback_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tokend {
namespace {

using testing::ElementsAre;

struct Item {
  std::string name;
  std::function<void()> callback = [] {};
};

class CallbackListTest : public testing::Test {
 protected:
  void Add(
      const std::string& name, std::function<void()> callback = [] {}) {
    list_->Add({name, std::move(callback)});
  }
  void CallAll() {
    list_->CallAll([this](const Item& item) {
      called_.push_back(item.name);
      item.callback();
    });
  }
  void Remove(const std::string& name) {
    list_->Take([&name](const Item& item) { return item.name == name; });
  }

  // Removes an item from the list when it is destroyed.
  static std::shared_ptr<void> OnEnd(CallbackList<Item>& list, const std::string& name) {
    return {nullptr,
            [&list, name](void*) { list.Take([&name](const Item& item) { return item.name == name; }); }};
  }

  std::unique_ptr<CallbackList<Item>> list_ = std::make_unique<CallbackList<Item>>();
  std::vector<std::string> called_;
};

TEST_F(CallbackListTest, CallsEachItemOnceInOrder) {
  Add("a");
  Add("b");
  CallAll();
  CallAll();
  EXPECT_THAT(called_, ElementsAre("a", "b"));
  EXPECT_TRUE(list_->empty());
}

TEST_F(CallbackListTest, TakesOutTheOldestItemThatMatches) {
  Add("a");
  Add("b");
  const auto taken = list_->Take([](const Item& item) { return item.name != "a"; });
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->name, "b");
  EXPECT_FALSE(list_->Take([](const Item& item) { return item.name == "b"; }).has_value());
  CallAll();
  EXPECT_THAT(called_, ElementsAre("a"));
}

TEST_F(CallbackListTest, ACallbackMayAddAndRemoveItems) {
  Add("a", [this] {
    Remove("b");
    Add("d");
  });
  Add("b");
  Add("c");
  CallAll();
  EXPECT_THAT(called_, ElementsAre("a", "c", "d"));
}

TEST_F(CallbackListTest, ACallbackMayCallTheRest) {
  Add("a", [this] { CallAll(); });
  Add("b");
  CallAll();
  EXPECT_THAT(called_, ElementsAre("a", "b"));
}

TEST_F(CallbackListTest, ACallbackMayDestroyTheList) {
  Add("a", [this] { list_.reset(); });
  Add("b");
  CallAll();
  EXPECT_THAT(called_, ElementsAre("a"));
}

TEST_F(CallbackListTest, AnItemMayChangeTheListWhenItIsDestroyed) {
  Add("a", [ends = OnEnd(*list_, "c")] {});
  Add("b");
  Add("c");
  Remove("a");
  CallAll();
  EXPECT_THAT(called_, ElementsAre("b"));
}

TEST_F(CallbackListTest, AnItemMayChangeTheListWhileTheListIsDestroyed) {
  CallbackList<Item> list;
  list.Add({"a", [ends = OnEnd(list, "b")] {}});
  list.Add({"b", [ends = OnEnd(list, "a")] {}});
}

}  // namespace
}  // namespace tokend
