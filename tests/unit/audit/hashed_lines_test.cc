#include "daemon/audit/hashed_lines.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "daemon/base/sha256.h"

namespace tokend::audit {
namespace {

class Text final : public ReadFile {
 public:
  explicit Text(std::string text, Status end = absl::OkStatus())
      : text_(std::move(text)), end_(std::move(end)) {}

  Result<std::size_t> Read(char* buffer, std::size_t size) override {
    const std::size_t taken = text_.copy(buffer, std::min(size, std::size_t{70'000}), at_);
    at_ += taken;
    if (taken == 0 && !end_.ok()) return end_;
    return taken;
  }

 private:
  const std::string text_;
  const Status end_;
  std::size_t at_ = 0;
};

// Lines of all lengths, some of them too long, and half a line at the end.
std::string ManyLines(std::mt19937_64& random) {
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    const std::size_t most = i % 500 == 0 ? 5 * kMaxLine : 1000;
    text.append(random() % most, static_cast<char>('a' + i % 26)) += '\n';
  }
  return text.append(3000, '\n') + "half a line";
}

TEST(HashedLines, AreTheLinesOfTheFileWithTheirHashes) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const std::string text = ManyLines(random);
  Text one(text);
  Text other(text);
  LineReader plain(one);
  HashedLines hashed(other);
  for (std::size_t count = 0;; ++count) {
    const auto expected = plain.Next();
    const auto line = hashed.Next();
    ASSERT_TRUE(expected.ok() && line.ok());
    ASSERT_EQ(line->has_value(), expected->has_value()) << "after " << count;
    if (!line->has_value()) break;
    ASSERT_EQ((*line)->text, (*expected)->text);
    ASSERT_EQ((*line)->whole, (*expected)->whole);
    ASSERT_EQ((*line)->hash, Sha256Hex((*line)->text));
  }
}

TEST(HashedLines, EndWithTheErrorOfTheFileAfterTheLinesBeforeIt) {
  Text file("one\ntwo\n", absl::DataLossError("gone"));
  HashedLines lines(file);
  for (const char* text : {"one", "two"}) {
    const auto line = lines.Next();
    ASSERT_TRUE(line.ok());
    EXPECT_EQ((*line)->text, text);
  }
  EXPECT_EQ(lines.Next().status(), absl::DataLossError("gone"));
}

TEST(HashedLines, MayBeLeftAtAnyLine) {
  std::mt19937_64 random(1);
  const std::string text = ManyLines(random);
  for (const int read : {0, 1, 1000}) {
    Text file(text);
    HashedLines lines(file);
    for (int i = 0; i < read; ++i) ASSERT_TRUE(lines.Next().ok());
  }
}

}  // namespace
}  // namespace tokend::audit
