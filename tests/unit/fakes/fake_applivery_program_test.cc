#include <gmock/gmock.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/fakes/fake_applivery.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/unit/fakes/curl_client.h"

namespace tokend::fakes {
namespace {

std::string Contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class FakeAppliveryProgram : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(folder_ / "key") << "first-key\nsecond-key\n"; }

  void TearDown() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(output_);
  }

  void Spawn(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {FAKE_APPLIVERY_PROGRAM, "--key-file", folder_ / "key"});
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::array<int, 2> ends = {};
    ASSERT_EQ(pipe(ends.data()), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    ASSERT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = ends[0];
  }

  // Empty at the end of the output, and if nothing comes for long.
  std::string ReadLine() {
    std::string line;
    pollfd readable = {.fd = output_, .events = POLLIN, .revents = 0};
    for (char byte = 0; poll(&readable, 1, 20'000) == 1 && read(output_, &byte, 1) == 1;) {
      if (byte == '\n') return line;
      line += byte;
    }
    return line;
  }

  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

  TemporaryFolder folder_;
  pid_t pid_ = -1;
  int output_ = -1;
};

TEST_F(FakeAppliveryProgram, SaysWhereItListensAndWhatItCounted) {
  Spawn(
      {"--ca-out", folder_ / "ca.pem", "--address-out", folder_ / "address", "--fault", "broken=status:503"});
  const std::string line = ReadLine();
  ASSERT_THAT(line, testing::MatchesRegex("listening https://localhost:[0-9]+"));
  const std::string address = line.substr(line.find("https"));
  EXPECT_EQ(Contents(folder_ / "address"), address + "\n");

  CurlClient client(address, Contents(folder_ / "ca.pem"), Protocol::kHttp2);
  client.authorization = "Bearer second-key";
  EXPECT_EQ(client.Post("ios-app").status, 200);
  EXPECT_EQ(client.Post("broken").status, 503);
  EXPECT_EQ(client.Post("broken").status, 503);

  kill(pid_, SIGTERM);
  EXPECT_EQ(ReadLine(), R"({"posts":3,"tokens":1,"connections":1,"stray_requests":0})");
  EXPECT_EQ(Wait(), 0);
}

TEST_F(FakeAppliveryProgram, SpeaksPlainHttpWhenTold) {
  Spawn({"--plain"});
  const std::string line = ReadLine();
  ASSERT_THAT(line, testing::MatchesRegex("listening http://localhost:[0-9]+"));
  CurlClient client(line.substr(line.find("http")), "", Protocol::kHttp1);
  client.authorization = "Bearer first-key";
  EXPECT_EQ(client.Post("ios-app").status, 200);
}

TEST_F(FakeAppliveryProgram, RefusesAFaultThatItDoesNotKnow) {
  Spawn({"--plain", "--fault", "ios-app=explode"});
  EXPECT_EQ(ReadLine(), "");
  const int status = Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
}

}  // namespace
}  // namespace tokend::fakes
