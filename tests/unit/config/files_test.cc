#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/steps.h"
#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Verdict {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

Verdict Judge(v1::Form form, const std::string& file, std::string_view min = "", std::string_view max = "") {
  v1::KeyOptions options;
  options.set_form(form);
  options.set_min(std::string(min));
  options.set_max(std::string(max));
  Report report("t");
  CheckFile(options, file, "k", report);
  return {report.Errors(), report.Warnings()};
}

TEST(CheckFile, RefusesASecretThatOthersMayRead) {
  const Folder folder;
  folder.Write("open", "x", 0444);
  EXPECT_THAT(Judge(v1::FORM_SECRET_FILE, folder.Path("open")).errors,
              ElementsAre("t:1:1: error: k: the file may be read by others: chmod o-r"));
}

TEST(CheckFile, TakesASecretThatAGroupMayRead) {
  const Folder folder;
  folder.Write("group", "x", 0440);
  EXPECT_THAT(Judge(v1::FORM_SECRET_FILE, folder.Path("group")).errors, IsEmpty());
}

TEST(CheckFile, RefusesASecretThatItsGroupOrOthersMayWrite) {
  const Folder folder;
  for (const mode_t mode : {0660, 0620, 0602, 0420}) {
    folder.Write("writable", "x", 0600);
    ASSERT_EQ(chmod(folder.Path("writable").c_str(), mode), 0);
    EXPECT_THAT(Judge(v1::FORM_SECRET_FILE, folder.Path("writable")).errors,
                ElementsAre("t:1:1: error: k: the file may be written by its group or by others: chmod go-w"))
        << mode;
    ASSERT_EQ(chmod(folder.Path("writable").c_str(), 0600), 0);
  }
}

TEST(CheckFile, HoldsEveryPrivateKeyAndSecretToThat) {
  const Folder folder;
  for (const char* file : {"key.pem", "api_key", "redis_key", "signing_key.pem", "fingerprint_key"}) {
    ASSERT_THAT(folder.Parse(kFull).errors, IsEmpty());
    ASSERT_EQ(chmod(folder.Path(file).c_str(), 0444), 0);
    EXPECT_THAT(folder.Parse(kFull).errors, Contains(HasSubstr("the file may be read by others: chmod o-r")))
        << file;
    ASSERT_EQ(chmod(folder.Path(file).c_str(), 0440), 0);
  }
}

TEST(CheckFile, TakesATokenThatAKubeletWrites) {
  const Folder folder;
  folder.Write("token", "x", 0644);
  const std::string with_token =
      Folder::Replace(std::string(kFull), "jwks_token_file: $DIR/api_key", "jwks_token_file: $DIR/token");
  ASSERT_NE(with_token, kFull);
  EXPECT_THAT(folder.Parse(with_token).errors, IsEmpty());
}

TEST(CheckFile, LetsOthersReadWhatIsPublic) {
  const Folder folder;
  folder.Write("open", "x", 0644);
  const Verdict verdict = Judge(v1::FORM_FILE, folder.Path("open"));
  EXPECT_THAT(verdict.errors, IsEmpty());
  EXPECT_THAT(verdict.warnings, IsEmpty());
}

TEST(CheckFile, RefusesWhatIsMissingEmptyOrNoFile) {
  const Folder folder;
  folder.Write("empty", "", 0400);
  ASSERT_EQ(mkfifo(folder.Path("pipe").c_str(), 0400), 0);
  EXPECT_THAT(Judge(v1::FORM_FILE, folder.Path("missing")).errors,
              ElementsAre("t:1:1: error: k: the file cannot be read: No such file or directory"));
  EXPECT_THAT(Judge(v1::FORM_FILE, folder.Path("empty")).errors,
              ElementsAre("t:1:1: error: k: the file is empty"));
  EXPECT_THAT(Judge(v1::FORM_FILE, folder.Path("")).errors,
              ElementsAre("t:1:1: error: k: is not a regular file"));
  EXPECT_THAT(Judge(v1::FORM_FILE, folder.Path("pipe")).errors,
              ElementsAre("t:1:1: error: k: is not a regular file"));
}

TEST(CheckFile, HoldsTheSizeToItsBounds) {
  const Folder folder;
  const std::string file = folder.Path("fingerprint_key");  // 32 bytes
  EXPECT_THAT(Judge(v1::FORM_FILE, file, "32", "32").errors, IsEmpty());
  EXPECT_THAT(Judge(v1::FORM_FILE, file, "33").errors,
              ElementsAre("t:1:1: error: k: the file must hold at least 33 bytes"));
  EXPECT_THAT(Judge(v1::FORM_FILE, file, "", "31").errors,
              ElementsAre("t:1:1: error: k: the file must hold at most 31 bytes"));
}

TEST(CheckFile, FollowsLinksAsKubernetesMountsSecrets) {
  const Folder folder;
  std::filesystem::create_symlink("api_key", folder.Path("link"));
  EXPECT_THAT(Judge(v1::FORM_SECRET_FILE, folder.Path("link")).errors, IsEmpty());
}

}  // namespace
}  // namespace tokend::config
