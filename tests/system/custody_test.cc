// Reads the memory of the real daemon as root and searches it for secrets.
#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/fakes/test_authority.h"
#include "tests/system/fixture.h"
#include "tests/system/process_memory.h"

namespace tokend::system {
namespace {

using std::chrono::seconds;

class Custody : public SystemTest {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "the sanitizer keeps what is freed, and maps terabytes";
#endif
    if (geteuid() != 0) GTEST_SKIP() << "only root may read another process's memory";
  }
};

TEST_F(Custody, NoBearerAndNoFurtherCopyOfTheKeyIsLeftInMemoryOnceRequestsAreForgotten) {
  const fakes::TestAuthority authority;
  const fakes::Identity server = authority.Issue("DNS:localhost");
  WriteFile(folder_ / "server.crt", server.certificate);
  WriteFile(folder_ / "server.key", server.private_key);
  Tokend::Options options;
  options.listeners = "  - name: local\n    address: unix://" + (folder_ / "tokend.sock") +
                      "\n    authentication: {none: {caller: ci}}\n"
                      "  - name: tls\n    address: 127.0.0.1:0\n    tls: {certificate_file: " +
                      (folder_ / "server.crt") + ", private_key_file: " + (folder_ / "server.key") +
                      "}\n    authentication: {none: {caller: ci}}\n";
  options.more = "requests: {remember: 1s}\n";
  options.key = "the-key-that-nobody-may-see";
  Start(options);
  const RawClient tls(tokend_->address("tls"), TlsFiles{authority.certificate(), "", ""});
  for (int i = 0; i < 25; ++i) {
    EXPECT_EQ(Create("ios-app").code, 0);
    EXPECT_EQ(tls.Create(RequestFor("ios-app")).code, 0);
  }
  ASSERT_EQ(applivery_->tokens().size(), 50U);
  const std::string prefix = applivery_->tokens()[0].bearer.substr(0, 12);  // the same for all bearers
  EXPECT_TRUE(Eventually([&] { return CountInMemory(tokend_->process().pid(), prefix) == 0; }, seconds(30)))
      << CountInMemory(tokend_->process().pid(), prefix) << " copies";
  const std::size_t keys = CountInMemory(tokend_->process().pid(), options.key);
  EXPECT_GT(keys, 0U) << "memory was not read at all";
  EXPECT_LE(keys, 2U) << "the key that was read, and the header that is made of it";
}

}  // namespace
}  // namespace tokend::system
