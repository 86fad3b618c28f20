#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class SocketPlaceTest : public testing::Test {
 protected:
  // With the warnings about the address alone.
  LoadResult Judge(const std::string& socket) const {
    LoadResult result = folder_.Parse(Folder::Replace(std::string(kMinimal), "/run/t.sock", socket));
    std::erase_if(result.warnings, [](const std::string& line) {
      return line.find("listeners[0].address") == std::string::npos;
    });
    return result;
  }

  // Leaves a socket there that nobody listens on.
  static void MakeSocket(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof(name.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    close(fd);
  }

  Folder folder_;
};

TEST_F(SocketPlaceTest, AFolderOfOnesOwnIsFine) {
  const LoadResult result = Judge(folder_.Path("t.sock"));
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings, IsEmpty());
}

TEST_F(SocketPlaceTest, AFolderThatAnyoneMayWriteToIsAWarning) {
  ASSERT_EQ(chmod(folder_.Path("").c_str(), 0777), 0);
  EXPECT_THAT(Judge(folder_.Path("t.sock")).warnings,
              ElementsAre("t.yaml:3:14: warning: listeners[0].address: everyone may write to the socket's "
                          "folder, and so replace the socket"));
}

TEST_F(SocketPlaceTest, AnotherUsersFolderIsAWarning) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  ASSERT_EQ(chown(folder_.Path("").c_str(), 12345, 12345), 0);
  EXPECT_THAT(Judge(folder_.Path("t.sock")).warnings,
              ElementsAre("t.yaml:3:14: warning: listeners[0].address: the socket's folder belongs to user "
                          "12345, who may replace the socket"));
}

TEST_F(SocketPlaceTest, ASymbolicLinkThereIsAnError) {
  MakeSocket(folder_.Path("t.sock"));
  std::filesystem::create_symlink("t.sock", folder_.Path("link"));
  EXPECT_THAT(Judge(folder_.Path("link")).errors,
              ElementsAre("t.yaml:3:14: error: listeners[0].address: a symbolic link is there: remove it "
                          "first"));
}

TEST_F(SocketPlaceTest, AFileThereIsAnError) {
  EXPECT_THAT(Judge(folder_.Path("api_key")).errors,
              ElementsAre("t.yaml:3:14: error: listeners[0].address: a file that is not a socket is there: "
                          "remove it first"));
}

TEST_F(SocketPlaceTest, ASocketOfOnesOwnIsFine) {
  MakeSocket(folder_.Path("t.sock"));
  EXPECT_THAT(Judge(folder_.Path("t.sock")).errors, IsEmpty());
}

TEST_F(SocketPlaceTest, AnotherUsersSocketIsAnErrorButToRootWhoMayAskForAnother) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a socket away";
  MakeSocket(folder_.Path("t.sock"));
  ASSERT_EQ(lchown(folder_.Path("t.sock").c_str(), 12345, 12345), 0);
  ASSERT_EQ(chmod(folder_.Path("").c_str(), 0755), 0);
  EXPECT_THAT(Judge(folder_.Path("t.sock")).errors, IsEmpty());
  // The API key is 0440, root's, and so the one file that another user cannot read.
  ASSERT_EQ(lchown(folder_.Path("api_key").c_str(), 54321, 54321), 0);
  ASSERT_EQ(seteuid(54321), 0);
  const LoadResult result = Judge(folder_.Path("t.sock"));
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_THAT(result.errors, ElementsAre("t.yaml:3:14: error: listeners[0].address: another user's socket is "
                                         "there: remove it first"));
}

TEST_F(SocketPlaceTest, IsNotJudgedWhereTheMachineIsNotTheDaemons) {
  ASSERT_EQ(chmod(folder_.Path("").c_str(), 0777), 0);
  const std::string text =
      folder_.Fill(Folder::Replace(std::string(kMinimal), "/run/t.sock", "$DIR/api_key"));
  const LoadResult result = Parse(text, "t.yaml", nullptr, NamedFiles::kIgnored);
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings, Each(Not(HasSubstr("listeners[0].address"))));
}

// "/aaa…" of so many bytes.
std::string LongFolder(std::size_t size) { return "/" + std::string(size - 1, 'a'); }

TEST_F(SocketPlaceTest, AFolderHasRoomForTheNameThatANewSocketIsMadeUnder) {
  EXPECT_THAT(Judge(LongFolder(95) + "/t").errors, IsEmpty());
  EXPECT_THAT(
      Judge(LongFolder(96) + "/t").errors,
      ElementsAre("t.yaml:3:14: error: listeners[0].address: the folder of a listener's socket has at "
                  "most 95 bytes"));
}

}  // namespace
}  // namespace tokend::config
