#include "daemon/rpc/listening_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/config/address.h"
#include "tests/fakes/own_hosts.h"
#include "tests/fakes/temporary_folder.h"

namespace tokend::rpc {
namespace {

Result<ListeningSocket> OnlyOne(Result<ListeningSocket::All> opened) {
  if (!opened.ok()) return opened.status();
  EXPECT_EQ(opened->sockets.size(), 1U);
  return std::move(opened->sockets.front());
}

class UnixSocketTest : public testing::Test {
 protected:
  Result<ListeningSocket> Open(mode_t mode = 0660) const {
    config::Listener listener;
    listener.address = config::UnixAddress{path_};
    listener.socket_mode = mode;
    return OnlyOne(ListeningSocket::Open(listener));
  }

  // 0, or the errno of connecting.
  static int Connect(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof(name.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int error = connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0 ? 0 : errno;
    close(fd);
    return error;
  }

  // What a daemon that was killed leaves behind.
  void LeaveStaleSocket() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path_.c_str(), sizeof(name.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    close(fd);
    ASSERT_EQ(Connect(path_), ECONNREFUSED);
  }

  fakes::TemporaryFolder folder_;
  std::string path_ = folder_ / "t.sock";
};

TEST_F(UnixSocketTest, ListensWithItsModeAndLeavesNothingBehind) {
  const mode_t old_mask = umask(0077);
  for (const mode_t mode : {0600, 0660, 0666}) {
    auto socket = Open(mode);
    ASSERT_TRUE(socket.ok()) << socket.status();
    struct stat found {};
    ASSERT_EQ(lstat(path_.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, mode);
    EXPECT_EQ(Connect(path_), 0);
    EXPECT_EQ(socket->address(), "unix://" + path_);
    { const ListeningSocket closed = *std::move(socket); }
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
  }
  EXPECT_EQ(umask(old_mask), 0077U);
}

TEST_F(UnixSocketTest, TakesThePlaceOfAStaleSocket) {
  LeaveStaleSocket();
  const auto socket = Open();
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(Connect(path_), 0);
}

TEST_F(UnixSocketTest, RefusesAnAddressWhereSomebodyListens) {
  const auto first = Open();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Connect(path_), 0);
}

TEST_F(UnixSocketTest, RefusesASymlinkEvenToAStaleSocket) {
  LeaveStaleSocket();
  const std::string target = path_;
  path_ = folder_ / "link";
  std::filesystem::create_symlink(target, path_);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
}

TEST_F(UnixSocketTest, RefusesAFileAndKeepsIt) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_F(UnixSocketTest, RefusesAnotherUsersSocket) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  LeaveStaleSocket();
  ASSERT_EQ(lchown(path_.c_str(), 12345, 12345), 0);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(UnixSocketTest, NeedsItsFolder) {
  path_ = folder_ / "missing/t.sock";
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
}

TEST_F(UnixSocketTest, RefusesAPathThatTheSystemCannotTake) {
  path_ = folder_ / std::string(120, 'a');
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(UnixSocketTest, TakesTheLongestFolderThatIsAllowed) {
  const std::size_t longest = sizeof(sockaddr_un::sun_path) - 1 - 1 - config::kNewSocketName.size();
  const std::string folder = folder_ / std::string(longest - folder_.path().native().size() - 1, 'a');
  std::filesystem::create_directory(folder);
  path_ = folder + "/t";
  const auto socket = Open();
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(Connect(path_), 0);
}

TEST_F(UnixSocketTest, IsNeverOpenToMoreThanItsMode) {
  std::atomic<bool> done = false;
  std::atomic<int> seen = 0;
  mode_t widest = 0;
  std::thread watcher([&] {
    while (!done) {
      for (const std::string& name : {path_, folder_ / std::string(config::kNewSocketName)}) {
        struct stat found {};
        if (lstat(name.c_str(), &found) != 0) continue;
        widest |= found.st_mode & 0777;
        ++seen;
      }
    }
  });
  for (int i = 0; i < 500 || (seen == 0 && i < 100'000); ++i) EXPECT_TRUE(Open(0600).ok());
  done = true;
  watcher.join();
  EXPECT_GT(seen, 0);
  EXPECT_EQ(widest, 0600U);
}

TEST_F(UnixSocketTest, OneOfManyThatStartAtOnceTakesTheStaleSocketsPlace) {
  for (int round = 0; round < 20; ++round) {
    LeaveStaleSocket();
    std::vector<std::optional<Result<ListeningSocket>>> opened(8);
    std::vector<std::thread> starters;
    for (auto& each : opened) starters.emplace_back([&] { each.emplace(Open()); });
    for (std::thread& starter : starters) starter.join();
    int listening = 0;
    for (const auto& each : opened) listening += each->ok() ? 1 : 0;
    EXPECT_EQ(listening, 1);
    EXPECT_EQ(Connect(path_), 0);
  }
}

TEST_F(UnixSocketTest, IsNotKeptFromStartingByWhoLocksTheFolder) {
  const int folder = open(folder_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(folder, LOCK_EX), 0);
  EXPECT_TRUE(Open().ok());
  close(folder);
}

TEST_F(UnixSocketTest, RefusesAnotherUsersLock) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const std::string lock = folder_ / ".tokend.lock";
  std::ofstream(lock) << "";
  ASSERT_EQ(chown(lock.c_str(), 12345, 12345), 0);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixSocketTest, DoesNotWaitAtAFifoThatSomebodyHasPutInPlaceOfItsLock) {
  ASSERT_EQ(mkfifo((folder_ / ".tokend.lock").c_str(), 0666), 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(Open().ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST_F(UnixSocketTest, FollowsNoLinkThatSomebodyHasPutInPlaceOfItsLock) {
  const std::string target = folder_ / "precious";
  ASSERT_EQ(symlink(target.c_str(), (folder_ / ".tokend.lock").c_str()), 0);
  EXPECT_FALSE(Open().ok());
  EXPECT_FALSE(std::filesystem::exists(target));
}

TEST_F(UnixSocketTest, SaysThatItsFolderIsMissing) {
  path_ = folder_ / "missing/t.sock";
  const Status status = Open().status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(), folder_.path().native() +
                                  "/missing, the folder of a listener's socket, does not exist; create it "
                                  "first: No such file or directory");
}

TEST_F(UnixSocketTest, LeavesASuccessorsNameAlone) {
  auto socket = Open();
  ASSERT_TRUE(socket.ok());
  ASSERT_EQ(unlink(path_.c_str()), 0);
  const auto successor = Open();
  ASSERT_TRUE(successor.ok()) << successor.status();
  { const ListeningSocket closed = *std::move(socket); }
  EXPECT_EQ(Connect(path_), 0);
}

Result<ListeningSocket> OpenTcp(const std::string& host, std::uint16_t port) {
  config::Listener listener;
  listener.address = config::TcpAddress{host, port};
  return OnlyOne(ListeningSocket::Open(listener));
}

TEST(TcpSocket, SaysWhichPortItGot) {
  const auto socket = OpenTcp("127.0.0.1", 0);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(socket->address().substr(0, 10), "127.0.0.1:");
  EXPECT_NE(socket->address(), "127.0.0.1:0");
}

TEST(TcpSocket, DoesNotShareAPort) {
  const auto first = OpenTcp("127.0.0.1", 0);
  ASSERT_TRUE(first.ok());
  const int port = std::stoi(first->address().substr(10));
  const auto second = OpenTcp("127.0.0.1", static_cast<std::uint16_t>(port));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
}

std::string PortTextOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }

// Opens the sockets of a listener whose name has these addresses. Nothing if the system does not permit it.
std::optional<Result<ListeningSocket::All>> OpenName(const std::string& hosts, std::uint16_t port = 0) {
  std::optional<Result<ListeningSocket::All>> opened;
  std::thread([&] {
    const fakes::OwnHosts own(hosts);
    config::Listener listener;
    listener.address = config::TcpAddress{"several.test", port};
    if (own.permitted()) opened.emplace(ListeningSocket::Open(listener));
  }).join();
  return opened;
}

TEST(TcpSocket, ListensOnEveryAddressOfANameAtOnePort) {
  const auto opened = OpenName("127.0.0.1 several.test\n127.0.0.2 several.test\n127.0.0.1 several.test\n");
  if (!opened) GTEST_SKIP() << "no permission for a mount namespace";
  ASSERT_TRUE(opened->ok()) << opened->status();
  ASSERT_EQ((*opened)->sockets.size(), 2U);
  const std::string port = PortTextOf((*opened)->sockets[0].address());
  EXPECT_THAT((std::vector<std::string>{(*opened)->sockets[0].address(), (*opened)->sockets[1].address()}),
              testing::UnorderedElementsAre("127.0.0.1:" + port, "127.0.0.2:" + port));
  EXPECT_THAT((*opened)->skipped, testing::IsEmpty());

  const auto again = OpenName("127.0.0.2 several.test\n", static_cast<std::uint16_t>(std::stoi(port)));
  EXPECT_EQ(again->status().code(), absl::StatusCode::kAlreadyExists) << again->status();
}

TEST(TcpSocket, SkipsAnAddressOfANameThatIsNotThisMachines) {
  const auto opened = OpenName("192.0.2.1 several.test\n127.0.0.2 several.test\n");
  if (!opened) GTEST_SKIP() << "no permission for a mount namespace";
  ASSERT_TRUE(opened->ok()) << opened->status();
  ASSERT_EQ((*opened)->sockets.size(), 1U);
  EXPECT_EQ((*opened)->sockets[0].address().substr(0, 10), "127.0.0.2:");
  EXPECT_EQ((*opened)->skipped.size(), 1U);
  EXPECT_EQ((*opened)->skipped[0].substr(0, 10), "192.0.2.1:");
  EXPECT_FALSE(OpenName("192.0.2.1 several.test\n")->ok());
}

TEST(TcpSocket, RefusesAnAddressThatIsNotThisMachines) { EXPECT_FALSE(OpenTcp("192.0.2.1", 0).ok()); }

}  // namespace
}  // namespace tokend::rpc
