#include "daemon/identity/token_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace tokend::identity {
namespace {

Sha256Digest Digest(int i) { return Sha256("token " + std::to_string(i)); }

TEST(TokenCache, KnowsATokenUntilItExpires) {
  TokenCache cache(10);
  cache.Add(Digest(1), 7, {.caller = "ci", .expires = Seconds(100)});
  EXPECT_EQ(cache.Find(Digest(1), 7, Seconds(99.9)), "ci");
  EXPECT_EQ(cache.Find(Digest(2), 7, Seconds(0)), std::nullopt);
  EXPECT_EQ(cache.Find(Digest(1), 7, Seconds(100)), std::nullopt);
  EXPECT_EQ(cache.size(), 0U);
}

TEST(TokenCache, KnowsATokenForItsKeySetAlone) {
  TokenCache cache(10);
  cache.Add(Digest(1), 7, {.caller = "ci", .expires = Seconds(100)});
  EXPECT_EQ(cache.Find(Digest(1), 8, Seconds(0)), std::nullopt);
  cache.Add(Digest(1), 8, {.caller = "ci", .expires = Seconds(100)});
  EXPECT_EQ(cache.Find(Digest(1), 8, Seconds(0)), "ci");
}

TEST(TokenCache, ForgetsTheOldestWhenItIsFull) {
  TokenCache cache(3);
  for (int i = 1; i <= 3; ++i)
    cache.Add(Digest(i), 7, {.caller = std::to_string(i), .expires = Seconds(100)});
  cache.Add(Digest(1), 7, {.caller = "1 again", .expires = Seconds(100)});
  cache.Add(Digest(4), 7, {.caller = "4", .expires = Seconds(100)});
  EXPECT_EQ(cache.size(), 3U);
  EXPECT_EQ(cache.Find(Digest(2), 7, Seconds(0)), std::nullopt);
  EXPECT_EQ(cache.Find(Digest(1), 7, Seconds(0)), "1 again");
  EXPECT_EQ(cache.Find(Digest(3), 7, Seconds(0)), "3");
  EXPECT_EQ(cache.Find(Digest(4), 7, Seconds(0)), "4");
}

}  // namespace
}  // namespace tokend::identity
