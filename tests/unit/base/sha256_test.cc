#include "daemon/base/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace tokend {
namespace {

constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kOfNothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kOfAMillionTimesA[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, HasTheDigestsOfTheStandard) {
  EXPECT_EQ(Sha256Hex("abc"), kOfAbc);
  EXPECT_EQ(Sha256Hex(""), kOfNothing);
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')), kOfAMillionTimesA);
}

TEST(Sha256, EachDigestIsItsTextsAlone) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Sha256Hex("abc"), kOfAbc);
    EXPECT_NE(Sha256Hex("abd"), kOfAbc);
  }
}

TEST(Sha256, AnyThreadMayUseIt) {
  std::vector<std::string> digests(4);
  std::vector<std::thread> threads;
  threads.reserve(digests.size());
  for (std::string& digest : digests) {
    threads.emplace_back([&digest] {
      for (int i = 0; i < 100; ++i) digest = Sha256Hex("abc");
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& digest : digests) EXPECT_EQ(digest, kOfAbc);
}

}  // namespace
}  // namespace tokend
