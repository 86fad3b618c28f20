#include "daemon/app/file_watch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/temporary_folder.h"

namespace tokend::app {
namespace {

namespace fs = std::filesystem;

class FileWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    Write("file", "one");
    watch_.Watch({folder_ / "file"});
  }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  // Whether the kernel told of something within a few seconds.
  bool Told() const {
    pollfd ready{watch_.descriptor(), POLLIN, 0};
    return poll(&ready, 1, 5000) == 1;
  }

  fakes::TemporaryFolder folder_;
  FileWatch watch_;
};

TEST_F(FileWatchTest, NothingChangesByItself) {
  EXPECT_FALSE(watch_.Changed());
  EXPECT_FALSE(watch_.Changed());
}

TEST_F(FileWatchTest, EveryWayToChangeAFileIsTold) {
  const std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"written in place", [&] { Write("file", "other text"); }},
      {"replaced",
       [&] {
         Write("next", "two");
         fs::rename(folder_ / "next", folder_ / "file");
       }},
      {"removed", [&] { fs::remove(folder_ / "file"); }},
      {"made again", [&] { Write("file", "three"); }},
      {"made readable", [&] { fs::permissions(folder_ / "file", fs::perms::owner_read); }},
  };
  for (const auto& [how, change] : changes) {
    change();
    EXPECT_TRUE(Told()) << how;
    EXPECT_TRUE(watch_.Changed()) << how;
    watch_.Watch({folder_ / "file"});
    EXPECT_FALSE(watch_.Changed()) << how;
  }
}

TEST_F(FileWatchTest, AnotherFileInTheFolderIsNoChange) {
  Write("other", "text");
  EXPECT_TRUE(Told());
  EXPECT_FALSE(watch_.Changed());
}

TEST_F(FileWatchTest, ASymbolicLinkAnywhereOnTheWayIsFollowed) {
  fs::create_directories(folder_ / "a/deep");
  fs::create_directories(folder_ / "b/deep");
  Write("a/deep/key", "one");
  Write("b/deep/key", "two");
  fs::create_symlink("a", folder_ / "now");
  fs::create_directories(folder_ / "mount");
  fs::create_symlink("../now/deep/key", folder_ / "mount/key");
  watch_.Watch({folder_ / "mount/key"});
  fs::create_symlink("b", folder_ / "next");
  fs::rename(folder_ / "next", folder_ / "now");
  EXPECT_TRUE(Told());
  EXPECT_TRUE(watch_.Changed());
}

TEST_F(FileWatchTest, AFileInAFolderThatComesLaterIsSeenWhenAsked) {
  watch_.Watch({folder_ / "later/key"});
  EXPECT_FALSE(watch_.Changed());
  fs::create_directories(folder_ / "later");
  Write("later/key", "one");
  EXPECT_TRUE(watch_.Changed());
}

TEST_F(FileWatchTest, LinksInACircleEnd) {
  fs::create_symlink("y", folder_ / "x");
  fs::create_symlink("x", folder_ / "y");
  watch_.Watch({folder_ / "x"});
  EXPECT_FALSE(watch_.Changed());
}

TEST_F(FileWatchTest, WatchingOnDoesNotUseUpTheKernelsWatches) {
  const auto watches = [] {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fdinfo")) {
      std::ifstream info(entry.path());
      for (std::string line; std::getline(info, line);) count += line.starts_with("inotify wd:") ? 1 : 0;
    }
    return count;
  };
  for (int i = 0; i < 20; ++i) {
    const fs::path folder = folder_ / std::to_string(i);
    fs::create_directories(folder);
    watch_.Watch({folder / "key"});
  }
  EXPECT_EQ(watches(), 1U);
}

}  // namespace
}  // namespace tokend::app
