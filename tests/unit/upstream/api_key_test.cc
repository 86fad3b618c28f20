#include "daemon/upstream/api_key.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace tokend::upstream {
namespace {

class ApiKeyFrom : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "api_key_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    unsetenv("CREDENTIALS_DIRECTORY");
    std::filesystem::remove_all(folder_);
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0440);
    return path;
  }

  std::string folder_;
};

TEST_F(ApiKeyFrom, AFileIsItsOneLine) {
  const Result<ApiKey> key = LoadApiKey(config::KeyFile{Write("acme", "key-1\n")});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(key->Expose() == "key-1");
}

TEST_F(ApiKeyFrom, TheEnvironmentIsTakenOutOfIt) {
  setenv("TOKEND_TEST_KEY", "key-2", 1);
  const Result<ApiKey> key = LoadApiKey(config::KeyEnvironment{"TOKEND_TEST_KEY"});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(key->Expose() == "key-2");
  EXPECT_EQ(getenv("TOKEND_TEST_KEY"), nullptr);
}

TEST_F(ApiKeyFrom, ACredentialIsInTheCredentialsDirectory) {
  Write("applivery", "key-3\n");
  setenv("CREDENTIALS_DIRECTORY", folder_.c_str(), 1);
  const Result<ApiKey> key = LoadApiKey(config::KeyCredential{"applivery"});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(key->Expose() == "key-3");
}

TEST_F(ApiKeyFrom, ACredentialStaysWithinTheCredentialsDirectory) {
  Write("applivery", "key-3\n");
  setenv("CREDENTIALS_DIRECTORY", (folder_ + "/below").c_str(), 1);
  std::filesystem::create_directory(folder_ + "/below");
  for (const char* name : {"../applivery", "/etc/hostname", "a/b", "..", ".", ""}) {
    EXPECT_FALSE(LoadApiKey(config::KeyCredential{name}).ok()) << name;
  }
}

TEST_F(ApiKeyFrom, ACredentialNeedsTheCredentialsDirectory) {
  const Result<ApiKey> key = LoadApiKey(config::KeyCredential{"applivery"});
  ASSERT_FALSE(key.ok());
  EXPECT_NE(key.status().message().find("CREDENTIALS_DIRECTORY"), std::string::npos);
}

TEST_F(ApiKeyFrom, NothingThatIsNotOnePrintableWord) {
  for (const char* text : {"", "\n", " ", "two words", "a\nb\n", "tab\t", "nul\x01", "\xc3\xa4"}) {
    const Result<ApiKey> key = LoadApiKey(config::KeyFile{Write("bad", text)});
    EXPECT_FALSE(key.ok());
    std::filesystem::remove(folder_ + "/bad");
  }
}

TEST_F(ApiKeyFrom, AnErrorNamesTheSourceAndNotTheKey) {
  const std::string path = Write("bad", "s3cret s3cret");
  const Result<ApiKey> key = LoadApiKey(config::KeyFile{path});
  ASSERT_FALSE(key.ok());
  EXPECT_NE(key.status().message().find(path), std::string::npos);
  EXPECT_EQ(key.status().message().find("s3cret"), std::string::npos);
}

}  // namespace
}  // namespace tokend::upstream
