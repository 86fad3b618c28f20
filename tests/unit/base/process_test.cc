#include "daemon/base/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

namespace tokend {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What `body` returns in a process of its own, whose hardening ends with it.
int RunInChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string OwnEnvironment() {
  std::ifstream file("/proc/self/environ", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(HardenProcess, TurnsOffCoreDumpsAndTracing) {
  EXPECT_EQ(RunInChild([] {
              if (!HardenProcess().ok()) return 1;
              rlimit limit{};
              if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || limit.rlim_max != 0) return 2;
              return prctl(PR_GET_DUMPABLE) == 0 ? 0 : 3;
            }),
            0);
}

TEST(HardenProcess, TurnsAClosedPipeIntoAnError) {
  EXPECT_EQ(RunInChild([] {
              int ends[2];
              if (!HardenProcess().ok() || pipe(ends) != 0) return 1;
              close(ends[0]);
              return write(ends[1], "x", 1) == -1 && errno == EPIPE ? 0 : 2;
            }),
            0);
}

TEST(HardenProcess, MakesOpenSslWipeWhatItGivesBack) {
  EXPECT_EQ(RunInChild([] {
              if (!HardenProcess().ok()) return 1;
              CRYPTO_malloc_fn malloc_fn = nullptr;
              CRYPTO_realloc_fn realloc_fn = nullptr;
              CRYPTO_free_fn free_fn = nullptr;
              CRYPTO_get_mem_functions(&malloc_fn, &realloc_fn, &free_fn);
              return malloc_fn != &CRYPTO_malloc && free_fn != &CRYPTO_free ? 0 : 2;
            }),
            0);
}

TEST(RaiseDescriptorLimit, TakesTheHardLimit) {
  EXPECT_EQ(RunInChild([] {
              rlimit files{};
              getrlimit(RLIMIT_NOFILE, &files);
              files.rlim_cur = 64;
              if (setrlimit(RLIMIT_NOFILE, &files) != 0) return 1;
              RaiseDescriptorLimit();
              rlimit raised{};
              getrlimit(RLIMIT_NOFILE, &raised);
              return raised.rlim_cur == files.rlim_max ? 0 : 2;
            }),
            0);
}

TEST(HardenProcess, RefusesAClosedStandardStream) {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    EXPECT_EQ(RunInChild([descriptor] {
                close(descriptor);
                return HardenProcess().ok() ? 1 : 0;
              }),
              0);
  }
}

TEST(KeyFromEnvironment, MustBeSetAndWellFormed) {
  unsetenv("TOKEND_TEST_KEY");
  EXPECT_THAT(std::string(TakeKeyFromEnvironment("TOKEND_TEST_KEY").status().message()),
              HasSubstr("is not set"));

  setenv("TOKEND_TEST_KEY", "canary key", 1);
  const Result<Secret> key = TakeKeyFromEnvironment("TOKEND_TEST_KEY");
  ASSERT_FALSE(key.ok());
  EXPECT_THAT(std::string(key.status().message()), HasSubstr("TOKEND_TEST_KEY"));
  EXPECT_THAT(std::string(key.status().message()), Not(HasSubstr("canary")));
  EXPECT_EQ(std::getenv("TOKEND_TEST_KEY"), nullptr);
}

// Only exec makes the block that /proc/self/environ shows, so this test runs itself once more.
TEST(KeyFromEnvironment, IsGoneFromProcAfterwards) {
  const pid_t child = fork();
  if (child == 0) {
    const char* const arguments[] = {"unit_process", "--gtest_also_run_disabled_tests",
                                     "--gtest_filter=ExecutedWithAKey.*", nullptr};
    const char* const environment[] = {"BEFORE=1", "TOKEND_TEST_KEY=canary-key", "AFTER=2", nullptr};
    execve("/proc/self/exe", const_cast<char* const*>(arguments), const_cast<char* const*>(environment));
    _exit(127);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ExecutedWithAKey, DISABLED_TakesIt) {
  ASSERT_THAT(OwnEnvironment(), HasSubstr("TOKEND_TEST_KEY=canary-key"));

  const Result<Secret> key = TakeKeyFromEnvironment("TOKEND_TEST_KEY");
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->Expose(), "canary-key");

  EXPECT_EQ(std::getenv("TOKEND_TEST_KEY"), nullptr);
  EXPECT_THAT(OwnEnvironment(), Not(HasSubstr("canary")));
  EXPECT_THAT(OwnEnvironment(), HasSubstr("BEFORE=1"));
  EXPECT_THAT(OwnEnvironment(), HasSubstr("AFTER=2"));
}

}  // namespace
}  // namespace tokend
