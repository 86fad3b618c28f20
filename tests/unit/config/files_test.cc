#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/steps.h"
#include "tests/unit/config/fixture.h"

namespace tokend::config {
namespace {

using testing::ElementsAre;
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
              ElementsAre("t:1:1: error: k: others may read the file: chmod o-r it (0440 or 0400)"));
}

TEST(CheckFile, TakesASecretThatAGroupMayRead) {
  const Folder folder;
  folder.Write("group", "x", 0440);
  EXPECT_THAT(Judge(v1::FORM_SECRET_FILE, folder.Path("group")).errors, IsEmpty());
}

TEST(CheckFile, WarnsOfAPrivateFileThatOthersMayRead) {
  const Folder folder;
  folder.Write("open", "x", 0644);
  const Verdict verdict = Judge(v1::FORM_PRIVATE_FILE, folder.Path("open"));
  EXPECT_THAT(verdict.errors, IsEmpty());
  EXPECT_THAT(verdict.warnings,
              ElementsAre("t:1:1: warning: k: others may read the file: chmod o-r it (0440 or 0400)"));
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
