// Reads the memory of the real daemon as root and searches it for secrets.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tests/fakes/test_authority.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using std::chrono::seconds;

// How often the text occurs in the writable memory of a process.
std::size_t CountInMemory(pid_t pid, const std::string& text) {
  const int memory = open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" rw") == std::string::npos) continue;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char dash = 0;
    std::istringstream(line) >> std::hex >> begin >> dash >> end;
    std::string bytes(end - begin, '\0');
    const ssize_t got = pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(begin));
    if (got <= 0) continue;
    bytes.resize(static_cast<std::size_t>(got));
    for (std::size_t at = bytes.find(text); at != std::string::npos; at = bytes.find(text, at + 1)) ++count;
  }
  close(memory);
  return count;
}

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
