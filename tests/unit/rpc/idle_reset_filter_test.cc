#include "daemon/rpc/idle_reset_filter.h"

#include <gtest/gtest.h>

#include "tests/fakes/http2_client.h"

namespace tokend::rpc {
namespace {

using fakes::http2::Frame;

std::string Reset(std::uint32_t stream) { return Frame(NGHTTP2_RST_STREAM, 0, stream, std::string(4, '\0')); }

// What passes of these bytes where they come in pieces of this size.
std::string Filtered(const std::string& bytes, std::size_t piece, std::size_t* dropped = nullptr) {
  IdleResetFilter filter;
  std::string passed;
  std::size_t count = 0;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    count += filter.Filter(std::string_view(bytes).substr(at, piece),
                           [&passed](std::string_view part) { passed += part; });
  }
  if (dropped != nullptr) *dropped = count;
  return passed;
}

TEST(IdleResetFilter, TakesOutResetsOfStreamsThatWereNeverBegunAndNothingElse) {
  const std::string before = std::string(fakes::http2::kPreface) + Frame(NGHTTP2_SETTINGS, 0, 0, "") +
                             Frame(NGHTTP2_HEADERS, 4, 5, std::string(300, 'h')) +
                             Frame(NGHTTP2_DATA, 0, 5, Reset(99));  // data that looks like one
  const std::string between = Reset(1) + Reset(5) + Reset(8) +  // of streams before, of the begun, of ours
                              Frame(NGHTTP2_RST_STREAM, 0, 9, "short");
  const std::string after =
      Frame(NGHTTP2_HEADERS, 5, 7, "x") + Reset(7) + Frame(NGHTTP2_PING, 0, 0, "12345678");
  const std::string bytes = before + Reset(7) + between + Reset(11) + Reset(7) + after;
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    std::size_t dropped = 0;
    ASSERT_EQ(Filtered(bytes, piece, &dropped), before + between + after) << piece;
    ASSERT_EQ(dropped, 3U) << piece;
  }
}

TEST(IdleResetFilter, PassesTheBytesOfAFrameThatIsUnderWayAtOnce) {
  const std::string begun =
      std::string(fakes::http2::kPreface) + Frame(NGHTTP2_DATA, 0, 1, "0123456789").substr(0, 12);
  EXPECT_EQ(Filtered(begun, begun.size()), begun);
}

}  // namespace
}  // namespace tokend::rpc
