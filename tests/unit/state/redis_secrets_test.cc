#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "daemon/state/redis/secrets.h"
#include "tests/fakes/temporary_folder.h"

namespace tokend::state {
namespace {

using testing::HasSubstr;

class Secrets : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& content, mode_t mode = 0400) const {
    std::ofstream(folder_ / name) << content;
    EXPECT_EQ(chmod((folder_ / name).c_str(), mode), 0);
    return folder_ / name;
  }
  std::string ErrorOf(const config::RedisState& options) const {
    return std::string(ReadRedisSecrets(options).status().message());
  }

  fakes::TemporaryFolder folder_;
};

TEST_F(Secrets, AreTheKeyAsItIs) {
  const auto secrets = ReadRedisSecrets({.address = {},
                                         .username = {},
                                         .password_file = Write("password", "password\n"),
                                         .encryption_key_file = Write("key", std::string(31, 'k') + "\n")});
  ASSERT_TRUE(secrets.ok());
  EXPECT_EQ(secrets->encryption_key.Expose(), std::string(31, 'k') + "\n");
}

TEST_F(Secrets, NeedNoPassword) {
  const auto secrets = ReadRedisSecrets({.address = {},
                                         .username = {},
                                         .password_file = {},
                                         .encryption_key_file = Write("key", std::string(32, 'k'))});
  EXPECT_TRUE(secrets.ok());
}

TEST_F(Secrets, NameTheFileThatIsOfNoUseAndWhatToDo) {
  config::RedisState options{.address = {}, .username = {}, .password_file = {}, .encryption_key_file = {}};
  for (const std::size_t size : {31U, 33U}) {
    options.encryption_key_file = Write("key" + std::to_string(size), std::string(size, 'k'));
    EXPECT_EQ(ErrorOf(options),
              options.encryption_key_file + ": must hold 32 bytes (head -c 32 /dev/urandom makes them)");
  }
  options.encryption_key_file = Write("open", std::string(32, 'k'), 0444);
  EXPECT_EQ(ErrorOf(options), options.encryption_key_file + ": may be read by others: chmod o-r");
  options.encryption_key_file = folder_ / "none";
  EXPECT_THAT(ErrorOf(options), HasSubstr("none: cannot be read"));
  options.encryption_key_file = Write("right", std::string(32, 'k'));
  options.password_file = Write("open-password", "password", 0644);
  EXPECT_EQ(ErrorOf(options), options.password_file + ": may be read by others: chmod o-r");
  options.password_file = Write("two", "pass word");
  EXPECT_THAT(ErrorOf(options), HasSubstr("two: must hold the key alone"));
}

}  // namespace
}  // namespace tokend::state
