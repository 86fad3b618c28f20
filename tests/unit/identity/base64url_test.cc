#include "daemon/identity/base64url.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/test_tokens.h"

namespace tokend::identity {
namespace {

TEST(Base64Url, DecodesWhatItEncodes) {
  std::string bytes;
  for (int i = 0; i < 600; ++i) {
    EXPECT_EQ(DecodeBase64Url(fakes::Base64Url(bytes)), bytes);
    bytes += static_cast<char>(i * 37);
  }
}

TEST(Base64Url, HasOneSpelling) {
  EXPECT_EQ(DecodeBase64Url("-_-_"), "\xfb\xff\xbf");
  for (const std::string& text :
       {std::string("A"), std::string("AAAAA"), std::string("AA=="), std::string("AAA="), std::string("+/+/"),
        std::string("AA A"), std::string("AAAA\n"), std::string("AA.A"), std::string("AA\0A", 4),
        std::string("AB"), std::string("AAB"),
        std::string("\xc3\xa4"
                    "AA")}) {
    EXPECT_EQ(DecodeBase64Url(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace tokend::identity
