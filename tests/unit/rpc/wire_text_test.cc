#include "daemon/rpc/wire_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tokend::rpc {
namespace {

using namespace std::chrono_literals;

TEST(ParseTimeout, TakesDigitsAndAUnit) {
  EXPECT_EQ(ParseTimeout("1H"), 1h);
  EXPECT_EQ(ParseTimeout("2M"), 2min);
  EXPECT_EQ(ParseTimeout("3S"), 3s);
  EXPECT_EQ(ParseTimeout("4m"), 4ms);
  EXPECT_EQ(ParseTimeout("5u"), 5us);
  EXPECT_EQ(ParseTimeout("6n"), 6ns);
  EXPECT_EQ(ParseTimeout("0S"), 0s);
  EXPECT_EQ(ParseTimeout("99999999u"), 99999999us);
}

TEST(ParseTimeout, WaitsNoLongerThanADay) {
  EXPECT_EQ(ParseTimeout("99999999H"), kLongestTimeout);
  EXPECT_EQ(ParseTimeout("86401S"), kLongestTimeout);
  EXPECT_EQ(ParseTimeout("86399S"), 86399s);
}

TEST(ParseTimeout, RefusesEveryOtherForm) {
  for (const char* value : {"", "S", "1", "1s", "1h", "-1S", "+1S", " 1S", "1S ", "1 S", "1.5S", "0x1S",
                            "1SS", "999999999S", "1\xC2\xB5", "S1"}) {
    EXPECT_FALSE(ParseTimeout(value)) << value;
  }
}

TEST(PercentEncode, KeepsPrintableAsciiAndEscapesTheRest) {
  EXPECT_EQ(PercentEncode("plain words, 100 of them!"), "plain words, 100 of them!");
  EXPECT_EQ(PercentEncode("100%"), "100%25");
  EXPECT_EQ(PercentEncode(std::string("\t\r\n\0", 4)), "%09%0D%0A%00");
  // The special_status_message of gRPC's interoperability tests.
  EXPECT_EQ(PercentEncode("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
            "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A");
}

TEST(EncodeBinary, IsBase64WithoutPadding) {
  EXPECT_EQ(EncodeBinary(""), "");
  EXPECT_EQ(EncodeBinary("f"), "Zg");
  EXPECT_EQ(EncodeBinary("fo"), "Zm8");
  EXPECT_EQ(EncodeBinary("foo"), "Zm9v");
  EXPECT_EQ(EncodeBinary("\xFB\xFF"), "+/8");
}

TEST(IsBinary, TakesBase64WithAndWithoutPadding) {
  for (const char* value : {"", "Zg", "Zg==", "Zm8", "Zm8=", "Zm9v", "+/8", "+/8=", "Zg==,Zm8", "Zg,Zg"}) {
    EXPECT_TRUE(IsBinary(value)) << value;
  }
}

TEST(IsBinary, RefusesEverythingElse) {
  for (const char* value :
       {"Z", "Zg=", "Zg===", "Zm8==", "Zm9v=", "Zg==Zg", "Z g", "-_8", "Zm9v!", "\xFF", "="}) {
    EXPECT_FALSE(IsBinary(value)) << value;
  }
}

TEST(TraceIdOf, TakesEachVersionOfAValidTraceparent) {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c";
  EXPECT_EQ(TraceIdOf("00-" + trace + "-b7ad6b7169203331-01"), trace);
  EXPECT_EQ(TraceIdOf("cc-" + trace + "-b7ad6b7169203331-00"), trace);
  EXPECT_EQ(TraceIdOf("cc-" + trace + "-b7ad6b7169203331-00-what the future brings"), trace);
}

TEST(TraceIdOf, IsEmptyForEveryOtherForm) {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c";
  const std::string zeros(32, '0');
  const std::vector<std::string> wrong = {"",
                                          "00",
                                          "00-" + trace,
                                          "00-" + trace + "-b7ad6b7169203331-0",
                                          "00-" + trace + "-b7ad6b7169203331-01-",
                                          "00-" + trace + "-b7ad6b7169203331-0x",
                                          "00-" + trace + "_b7ad6b7169203331-01",
                                          "ff-" + trace + "-b7ad6b7169203331-01",
                                          "cc-" + trace + "-b7ad6b7169203331-01x",
                                          "00-" + zeros + "-b7ad6b7169203331-01",
                                          "00-" + trace + "-0000000000000000-01",
                                          "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"};
  for (const std::string& value : wrong) EXPECT_EQ(TraceIdOf(value), "") << value;
}

TEST(IsGrpc, TakesGrpcAndItsProtobufForm) {
  for (const char* type : {"application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8",
                           "application/grpc+proto; x=y"}) {
    EXPECT_TRUE(IsGrpc(type)) << type;
  }
}

TEST(IsGrpc, RefusesEverythingElse) {
  for (const char* type :
       {"", "application/json", "application/grpcx", "application/grpc+json", "application/grp",
        "application/grpc-web", "application/grpc+protox", "text/application/grpc"}) {
    EXPECT_FALSE(IsGrpc(type)) << type;
  }
}

}  // namespace
}  // namespace tokend::rpc
