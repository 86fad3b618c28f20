#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class WhileRunning : public testing::Test {
 protected:
  void SetUp() override {
    const LoadResult started = folder_.Parse(kMinimal);
    ASSERT_TRUE(started.config);
    running_ = *started.config;
  }

  LoadResult Reload(std::string_view find, std::string_view replace) {
    const std::string text = Folder::Replace(std::string(kMinimal), find, replace);
    EXPECT_NE(text, kMinimal) << find;
    return Parse(folder_.Fill(text), "t.yaml", &running_);
  }

  const Folder folder_;
  Config running_;
};

TEST_F(WhileRunning, TheSameConfigurationIsAccepted) {
  EXPECT_THAT(Parse(folder_.Fill(kMinimal), "t.yaml", &running_).errors, IsEmpty());
}

TEST_F(WhileRunning, GrantsAndCallersMayChange) {
  EXPECT_THAT(Reload("scopes: [sdk]", "scopes: [sdk, beta]").errors, IsEmpty());
  EXPECT_THAT(Reload("none: {caller: dev}", "none: {caller: other}").errors, IsEmpty());
  EXPECT_THAT(Reload("stdout: {}", "stdout: {}\n  deadline: 3s").errors, IsEmpty());
}

TEST_F(WhileRunning, WhatIsReadAtTheStartAloneIsNamedWithItsPlace) {
  EXPECT_THAT(Reload("unix:///run/t.sock", "unix:///run/other.sock").errors,
              ElementsAre("t.yaml:3:14: error: listeners[0].address: cannot change while the daemon runs: "
                          "restart it, or put it back"));
}

TEST_F(WhileRunning, NothingOfWhereThingsLiveChanges) {
  const std::vector<std::pair<std::string, std::string>> edits = {
      {"name: edge", "name: other"},
      {"unix:///run/t.sock", "unix:///run/t.sock\n    socket_mode: \"0600\""},
      {"applivery:", "applivery:\n    timeout: 7s"},
      {"stdout: {}", "file: {path: /var/log/audit.jsonl}"},
      {"audit:", "requests: {remember: 5m}\naudit:"},
      {"audit:", "admin: {address: \"127.0.0.1:0\"}\naudit:"},
  };
  for (const auto& [find, replace] : edits) {
    const LoadResult result = Reload(find, replace);
    EXPECT_FALSE(result.config) << replace;
    EXPECT_THAT(result.errors, Each(HasSubstr("cannot change while the daemon runs"))) << replace;
  }
}

TEST_F(WhileRunning, AListenerMoreIsOneThatCannotBeAdded) {
  const LoadResult result = Reload(
      "listeners:",
      "listeners:\n  - {name: b, address: \"unix:///run/b.sock\", authentication: {none: {caller: dev}}}");
  EXPECT_THAT(result.errors, Each(HasSubstr("listeners: cannot change")));
}

TEST(Files, AreAllThatTheKeysName) {
  const Folder folder;
  const LoadResult loaded = folder.Parse(Folder::Replace(
      std::string(kMinimal), "stdout: {}", "stdout: {}\n  fingerprint_key_file: $DIR/fingerprint_key"));
  ASSERT_TRUE(loaded.config);
  EXPECT_THAT(loaded.config->files, ElementsAre(folder.Path("api_key"), folder.Path("fingerprint_key")));
}

}  // namespace
}  // namespace tokend::config
