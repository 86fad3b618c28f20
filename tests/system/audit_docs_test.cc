// deploy/audit.md tells auditors how to check a log without this project's code. These tests run its
// commands.
#include <gmock/gmock.h>

#include "tests/system/account.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class AuditDocs : public SystemTest {
 protected:
  // The page's shell scripts, in order.
  static std::vector<std::string> Scripts() {
    constexpr std::string_view kBegin = "```sh\n";
    const std::string page = ReadFile(std::string(TOKEND_SOURCE) + "/deploy/audit.md");
    std::vector<std::string> scripts;
    for (std::size_t at = page.find(kBegin); at != std::string::npos; at = page.find(kBegin, at)) {
      at += kBegin.size();
      scripts.push_back(page.substr(at, page.find("```", at) - at));
    }
    return scripts;
  }

  Ended RunInFolder(const std::string& script) const {
    WriteFile(folder_ / "script", script);
    return RunProgram({"/bin/sh", "-c", "cd \"$1\" && . ./script", "sh", folder_ / ""},
                      {{"PATH", "/usr/bin:/bin"}});
  }

  void WriteALog() {
    ASSERT_EQ(RunInFolder("openssl genpkey -algorithm ed25519 -out signing.pem && chmod 600 signing.pem && "
                          "openssl pkey -in signing.pem -pubout -out public.pem")
                  .exit,
              0);
    Tokend::Options options;
    options.audit =
        "file: {path: FOLDER/audit.jsonl, max_size: 16KiB}, signing_key_file: " + (folder_ / "signing.pem");
    Start(options);
    for (const Answered& one :
         client_->CreateMany(40, 4, [](std::size_t) { return RequestFor("ios-app"); })) {
      ASSERT_EQ(one.code, 0);
    }
    ASSERT_EQ(Stop(), 0);
    ASSERT_GT(AuditFiles(folder_ / "").size(), 1U);
  }
};

TEST_F(AuditDocs, ChainIsCheckedWithSha256sumAndJqAlone) {
  WriteALog();
  std::vector<std::string> command = {Program("tokenctl"), "audit", "verify"};
  for (std::string& file : AuditFiles(folder_ / "")) command.push_back(std::move(file));
  const Ended verified = RunProgram(std::move(command));
  EXPECT_EQ(verified.exit, 0) << verified.out << verified.err;
  const Ended sound = RunInFolder(Scripts().at(0));
  EXPECT_THAT(sound.out, StartsWith("head ")) << sound.err;
  const std::string head = sound.out.substr(sound.out.rfind(' ') + 1);
  EXPECT_THAT(verified.out, HasSubstr("head: " + head));

  const std::string file = AuditFiles(folder_ / "")[0];
  std::string bytes = ReadFile(file);
  const std::size_t at = bytes.find("ios-app");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = 'I';
  WriteFile(file, bytes);
  EXPECT_THAT(RunInFolder(Scripts().at(0)).out, HasSubstr("broken at "));
}

TEST_F(AuditDocs, TheOperationalLogHoldsTheAnchorsOfTheLog) {
  WriteALog();
  WriteFile(folder_ / "stderr.log", tokend_->log());
  std::vector<std::string> command = {Program("tokenctl"), "audit",     "verify",
                                      "--from-start",      "--anchors", folder_ / "stderr.log"};
  for (std::string& file : AuditFiles(folder_ / "")) command.push_back(std::move(file));
  const Ended whole = RunProgram(command);
  EXPECT_EQ(whole.exit, 0) << whole.out << whole.err;
  EXPECT_THAT(whole.out, HasSubstr("anchors that hold: "));
  command.pop_back();
  const Ended cut = RunProgram(command);
  EXPECT_EQ(cut.exit, 8);
  EXPECT_THAT(cut.out, HasSubstr("what: cut off"));
}

TEST_F(AuditDocs, SignaturesAreCheckedWithOpensslAlone) {
  WriteALog();
  const Ended checked = RunInFolder(Scripts().at(1));
  EXPECT_THAT(checked.out, HasSubstr("Signature Verified Successfully")) << checked.err;
  EXPECT_THAT(checked.out, testing::Not(HasSubstr("Failure")));
}

}  // namespace
}  // namespace tokend::system
