#include "daemon/base/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/fakes/temporary_folder.h"

namespace tokend {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class KeyFile : public ::testing::Test {
 protected:
  std::string Write(const std::string& bytes, mode_t mode = 0440) {
    std::string path = folder_ / "key";
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }

  fakes::TemporaryFolder folder_;
};

std::string ErrorOf(const Result<Secret>& result) {
  return result.ok() ? "no error" : std::string(result.status().message());
}

TEST_F(KeyFile, HoldsTheKeyAndAtMostOneNewline) {
  for (const std::string ending : {"", "\n", "\r\n"}) {
    const Result<Secret> key = ReadKeyFile(Write("canary-key" + ending));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(key->Expose(), "canary-key");
  }
}

TEST_F(KeyFile, ThatOthersMayReadIsAnErrorThatSaysWhatToDo) {
  const std::string path = Write("canary-key", 0444);
  EXPECT_THAT(ErrorOf(ReadKeyFile(path)),
              AllOf(HasSubstr(path), HasSubstr("chmod o-r"), Not(HasSubstr("canary"))));
  EXPECT_FALSE(ReadSecretFile(path).ok());
}

TEST_F(KeyFile, ThatItsGroupOrOthersMayWriteIsAnErrorThatSaysWhatToDo) {
  for (const mode_t mode : {0620, 0660, 0602}) {
    const std::string path = Write("canary-key", mode);
    EXPECT_THAT(ErrorOf(ReadKeyFile(path)), AllOf(HasSubstr(path), HasSubstr("chmod go-w")));
    EXPECT_FALSE(ReadSecretFile(path).ok());
  }
  EXPECT_TRUE(ReadKeyFile(Write("canary-key", 0440)).ok());
}

TEST_F(KeyFile, WithAnythingButOnePrintableWordIsAnErrorThatShowsNothing) {
  const std::vector<std::string> bad = {
      "canary key",      " canary",  "canary ",    "canary\n\n",     "canary\r",
      "\ncanary",        "cana\try", "canary\x7f", "canary\xc3\xa9", std::string("canary\0", 7),
      "canary\nsecond\n"};
  for (const std::string& text : bad) {
    const std::string path = Write(text);
    EXPECT_THAT(ErrorOf(ReadKeyFile(path)),
                AllOf(HasSubstr(path), HasSubstr("alone"), Not(HasSubstr("canary"))));
  }
}

TEST_F(KeyFile, ThatIsEmptyIsAnError) {
  EXPECT_THAT(ErrorOf(ReadKeyFile(Write(""))), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf(ReadKeyFile(Write("\n"))), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf(ReadSecretFile(Write(""))), HasSubstr("empty"));
}

TEST_F(KeyFile, HasABoundedSize) {
  EXPECT_TRUE(ReadKeyFile(Write(std::string(kMaxKeyBytes, 'k'))).ok());
  EXPECT_THAT(ErrorOf(ReadKeyFile(Write(std::string(kMaxKeyBytes + 1, 'k')))),
              HasSubstr("larger than 4 KiB"));
  EXPECT_THAT(ErrorOf(ReadKeyFile("/dev/zero")), HasSubstr("regular file"));
}

TEST_F(KeyFile, IsFoundThroughASymlink) {
  const std::string link = folder_ / "link";
  std::filesystem::create_symlink(Write("canary-key"), link);
  EXPECT_TRUE(ReadKeyFile(link).ok());
}

TEST_F(KeyFile, MustBeARegularFileAndIsNeverWaitedFor) {
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(ReadKeyFile(fifo)), HasSubstr("regular file"));
  EXPECT_THAT(ErrorOf(ReadKeyFile(folder_.path())), HasSubstr("regular file"));
}

TEST_F(KeyFile, ThatIsMissingIsNamed) {
  const std::string path = folder_ / "nothing-here";
  EXPECT_THAT(ErrorOf(ReadKeyFile(path)), AllOf(HasSubstr(path), HasSubstr("No such file")));
}

TEST_F(KeyFile, MayBeBinaryWhereASecretIsWanted) {
  const std::string bytes("\0\xff\n\r\n", 5);
  const Result<Secret> secret = ReadSecretFile(Write(bytes));
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ(secret->Expose(), bytes);
}

}  // namespace
}  // namespace tokend
