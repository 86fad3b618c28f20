#include "daemon/upstream/api_key.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fakes/temporary_folder.h"

namespace tokend::upstream {
namespace {

class ApiKeyFrom : public testing::Test {
 protected:
  ~ApiKeyFrom() override { unsetenv("CREDENTIALS_DIRECTORY"); }

  std::string Write(const std::string& name, const std::string& text) {
    std::string path = folder_ / name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0440);
    return path;
  }

  static Result<KeyRing> Ring(const config::KeySource& source, const KeyRing* previous = nullptr) {
    return ReadKeys({{.name = "acme", .api_key = source}}, previous);
  }

  fakes::TemporaryFolder folder_;
};

TEST_F(ApiKeyFrom, AFileIsItsOneLine) {
  const Result<KeyRing> key = Ring(config::KeyFile{Write("acme", "key-1\n")});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(key->at("acme").key->Expose() == "key-1");
}

TEST_F(ApiKeyFrom, TheEnvironmentIsTakenOutOfIt) {
  setenv("TOKEND_TEST_KEY", "key-2", 1);
  const Result<KeyRing> key = Ring(config::KeyEnvironment{"TOKEND_TEST_KEY"});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(key->at("acme").key->Expose() == "key-2");
  EXPECT_EQ(getenv("TOKEND_TEST_KEY"), nullptr);
}

TEST_F(ApiKeyFrom, ACredentialIsInTheCredentialsDirectory) {
  Write("applivery", "key-3\n");
  setenv("CREDENTIALS_DIRECTORY", folder_.path().c_str(), 1);
  const Result<KeyRing> key = Ring(config::KeyCredential{"applivery"});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(key->at("acme").key->Expose() == "key-3");
}

TEST_F(ApiKeyFrom, ACredentialStaysWithinTheCredentialsDirectory) {
  Write("applivery", "key-3\n");
  setenv("CREDENTIALS_DIRECTORY", (folder_ / "below").c_str(), 1);
  std::filesystem::create_directory(folder_ / "below");
  for (const char* name : {"../applivery", "/etc/hostname", "a/b", "..", ".", ""}) {
    EXPECT_FALSE(Ring(config::KeyCredential{name}).ok()) << name;
  }
}

TEST_F(ApiKeyFrom, ACredentialNeedsTheCredentialsDirectory) {
  const Result<KeyRing> key = Ring(config::KeyCredential{"applivery"});
  ASSERT_FALSE(key.ok());
  EXPECT_NE(key.status().message().find("CREDENTIALS_DIRECTORY"), std::string::npos);
}

TEST_F(ApiKeyFrom, NothingThatIsNotOnePrintableWord) {
  for (const char* text : {"", "\n", " ", "two words", "a\nb\n", "tab\t", "nul\x01", "\xc3\xa4"}) {
    const Result<KeyRing> key = Ring(config::KeyFile{Write("bad", text)});
    EXPECT_FALSE(key.ok());
    std::filesystem::remove(folder_ / "bad");
  }
}

TEST_F(ApiKeyFrom, AnErrorNamesTheSourceAndNotTheKey) {
  const std::string path = Write("bad", "s3cret s3cret");
  const Result<KeyRing> key = Ring(config::KeyFile{path});
  ASSERT_FALSE(key.ok());
  EXPECT_NE(key.status().message().find(path), std::string::npos);
  EXPECT_EQ(key.status().message().find("s3cret"), std::string::npos);
}

TEST_F(ApiKeyFrom, AnErrorNamesTheOrganization) {
  const Result<KeyRing> key = Ring(config::KeyFile{folder_ / "none"});
  ASSERT_FALSE(key.ok());
  EXPECT_EQ(key.status().message().find("organization acme: "), 0U);
}

TEST_F(ApiKeyFrom, OneVariableCanBeTheKeyOfSeveralOrganizations) {
  setenv("TOKEND_TEST_KEY", "key-2", 1);
  const config::KeyEnvironment variable{"TOKEND_TEST_KEY"};
  const Result<KeyRing> ring =
      ReadKeys({{.name = "acme", .api_key = variable}, {.name = "b", .api_key = variable}});
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_TRUE(ring->at("b").key->Expose() == "key-2");
}

TEST_F(ApiKeyFrom, AnotherKeyIsTheNextGeneration) {
  const config::KeyFile file{Write("acme", "key-1\n")};
  const Result<KeyRing> first = Ring(file);
  const Result<KeyRing> same = Ring(file, &*first);
  Write("next", "key-2\n");
  std::filesystem::rename(folder_ / "next", folder_ / "acme");
  const Result<KeyRing> next = Ring(file, &*same);
  ASSERT_TRUE(first.ok() && same.ok() && next.ok());
  EXPECT_EQ(first->at("acme").generation, 1U);
  EXPECT_EQ(same->at("acme").generation, 1U);
  EXPECT_EQ(next->at("acme").generation, 2U);
  EXPECT_TRUE(next->at("acme").key->Expose() == "key-2");
}

TEST_F(ApiKeyFrom, AVariableStaysWhatItWasAtTheStart) {
  setenv("TOKEND_TEST_KEY", "key-2", 1);
  const Result<KeyRing> first = Ring(config::KeyEnvironment{"TOKEND_TEST_KEY"});
  ASSERT_TRUE(first.ok());
  const Result<KeyRing> again = Ring(config::KeyEnvironment{"TOKEND_TEST_KEY"}, &*first);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->at("acme").generation, 1U);
  setenv("TOKEND_OTHER_KEY", "key-3", 1);
  EXPECT_FALSE(Ring(config::KeyEnvironment{"TOKEND_OTHER_KEY"}, &*first).ok());
  unsetenv("TOKEND_OTHER_KEY");
}

}  // namespace
}  // namespace tokend::upstream
