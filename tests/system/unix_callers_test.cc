// Callers like the containers of a pod: each runs as its own user, and they share a socket in a folder that
// everyone may write to, such as an emptyDir.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::HasSubstr;

constexpr uid_t kDaemon = 65532;
constexpr uid_t kListed = 21000;
constexpr uid_t kUnlisted = 21001;
// tokenctl's exit codes.
constexpr int kDone = 0;
constexpr int kBadConfiguration = 2;
constexpr int kNotAuthenticated = 4;

class UnixCallers : public SystemTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can be several users";
    std::filesystem::create_directory(shared_);
    std::filesystem::permissions(shared_, std::filesystem::perms(0777));
    options_.uid = kDaemon;
    options_.listeners = "  - name: local\n    address: unix://" + socket_ +
                         "\n    socket_mode: \"0666\"\n    authentication: {unix: {callers: [{uid: " +
                         std::to_string(kListed) + ", name: \"unix:checkout\"}]}}\n";
  }

  Ended Tokenctl(uid_t uid, std::vector<std::string> arguments) const {
    std::vector<std::string> command = {SharedProgram(folder_, "tokenctl")};
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.insert(command.end(), {"--address", "unix://" + socket_, "--timeout", "30s"});
    return RunProgram(AsUser(uid, std::move(command)));
  }

  const std::string shared_ = folder_ / "shared";
  const std::string socket_ = shared_ + "/tokend.sock";
  Tokend::Options options_;
};

TEST_F(UnixCallers, AreIdentifiedByTheKernelsPeerCredentials) {
  Start(options_);
  struct stat found {};
  ASSERT_EQ(lstat(socket_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0666U);
  EXPECT_EQ(found.st_uid, kDaemon);
  EXPECT_NE(LineWith(tokend_->log(), {"anyone may write to the socket's folder"}), "");

  EXPECT_THAT(Tokenctl(kListed, {"whoami"}).out, HasSubstr("unix:checkout"));
  const Ended created = Tokenctl(kListed, {"create", "--app", "ios-app", "--org", "acme"});
  EXPECT_EQ(created.exit, kDone) << created.err;
  EXPECT_THAT(LastRecord("token.issued"), HasSubstr("\"peer\":\"unix:uid=" + std::to_string(kListed)));

  for (const uid_t uid : {kUnlisted, kDaemon}) {
    EXPECT_EQ(Tokenctl(uid, {"health"}).exit, kDone);
    EXPECT_EQ(Tokenctl(uid, {"whoami"}).exit, kNotAuthenticated);
    const Ended refused = Tokenctl(uid, {"create", "--app", "ios-app", "--org", "acme"});
    EXPECT_EQ(refused.exit, kNotAuthenticated);
    EXPECT_THAT(refused.err, HasSubstr("CALLER_UNKNOWN"));
    const std::string peer = "\"unix:uid=" + std::to_string(uid) + "\"";
    EXPECT_TRUE(Eventually([&] {  // the log combines equal denials within a second
      return !LineWith(tokend_->audit(), {"request.unauthenticated", "CALLER_UNKNOWN", peer}).empty();
    }));
  }
  EXPECT_EQ(applivery_->tokens().size(), 1U);
}

TEST_F(UnixCallers, ASocketThatAnotherUserHasPutThereIsNotReplaced) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, socket_.c_str(), sizeof(name.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  close(fd);  // leaves the socket file behind
  ASSERT_EQ(lchown(socket_.c_str(), kUnlisted, kUnlisted), 0);
  EXPECT_THROW(Start(options_), std::runtime_error);
  EXPECT_TRUE(std::filesystem::is_socket(socket_));

  const Ended check = RunProgram(
      AsUser(kDaemon, {SharedProgram(folder_, "tokend"), "check", "--config", folder_ / "tokend.yaml"}));
  EXPECT_EQ(check.exit, kBadConfiguration);
  EXPECT_THAT(check.err, HasSubstr("another user's socket is there"));
}

TEST_F(UnixCallers, ALinkThatAnotherUserHasPutThereIsNotFollowed) {
  const std::string target = folder_ / "precious";
  WriteFile(target, "precious");
  std::filesystem::create_symlink(target, socket_);
  EXPECT_THROW(Start(options_), std::runtime_error);
  EXPECT_TRUE(std::filesystem::is_symlink(socket_));
  EXPECT_EQ(ReadFile(target), "precious");
}

}  // namespace
}  // namespace tokend::system
