#include "daemon/identity/spiffe_id.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace tokend::identity {
namespace {

using std::string_literals::operator""s;

TEST(SpiffeId, IsAWorkloadsNameInATrustDomain) {
  for (const char* id : {
           "spiffe://prod.example/ns/shop/sa/checkout",
           "spiffe://prod.example/a",
           "spiffe://p/A.b-c_9",
           "spiffe://under_score-dash.0/x",
           "spiffe://prod.example/...",
           "spiffe://prod.example/.hidden/..also",
       }) {
    EXPECT_TRUE(IsWorkloadSpiffeId(id)) << id;
  }
}

TEST(SpiffeId, IsNothingElse) {
  for (const std::string& id : {
           ""s,
           "spiffe://"s,
           "spiffe:///path"s,
           "spiffe://prod.example"s,  // a trust domain, not a workload
           "spiffe://prod.example/"s,
           "spiffe://prod.example/a/"s,
           "spiffe://prod.example//a"s,
           "spiffe://prod.example/a//b"s,
           "spiffe://prod.example/."s,
           "spiffe://prod.example/a/.."s,
           "spiffe://prod.example/a/../b"s,
           "SPIFFE://prod.example/a"s,
           "https://prod.example/a"s,
           "spiffe:/prod.example/a"s,
           "spiffe://Prod.example/a"s,
           "spiffe://prod.example:8443/a"s,
           "spiffe://user@prod.example/a"s,
           "spiffe://prod.example/a?x=1"s,
           "spiffe://prod.example/a#x"s,
           "spiffe://prod.example/a%2Fb"s,
           "spiffe://prod.example/*"s,
           "spiffe://*/a"s,
           "spiffe://prod.example/a b"s,
           "spiffe://prod.example/a\n"s,
           "spiffe://prod.example/a\0b"s,
           "spiffe://prod.example/\xC3\xA4"s,
           " spiffe://prod.example/a"s,
       }) {
    EXPECT_FALSE(IsWorkloadSpiffeId(id)) << id;
  }
}

TEST(SpiffeId, HasAtMost2048BytesAnd255InItsTrustDomain) {
  const std::string prefix = "spiffe://prod.example/";
  EXPECT_TRUE(IsWorkloadSpiffeId(prefix + std::string(2048 - prefix.size(), 'a')));
  EXPECT_FALSE(IsWorkloadSpiffeId(prefix + std::string(2049 - prefix.size(), 'a')));
  EXPECT_TRUE(IsWorkloadSpiffeId("spiffe://" + std::string(255, 'a') + "/a"));
  EXPECT_FALSE(IsWorkloadSpiffeId("spiffe://" + std::string(256, 'a') + "/a"));
}

}  // namespace
}  // namespace tokend::identity
