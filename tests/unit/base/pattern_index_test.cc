#include "daemon/base/pattern_index.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace tokend {
namespace {

// Names and patterns over few letters, so that they often meet.
class Texts {
 public:
  explicit Texts(std::uint32_t seed) : random_(seed) {}

  std::string Make(std::string_view alphabet, std::size_t most) {
    std::string text;
    const std::size_t size = 1 + random_() % most;
    while (text.size() < size) text += alphabet[random_() % alphabet.size()];
    return text;
  }

 private:
  std::mt19937 random_;
};

std::uint32_t Seed() {
  const std::uint32_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  return seed;
}

TEST(PatternIndex, FindsWhatTryingEachPatternFinds) {
  Texts texts(Seed());
  for (int round = 0; round < 200; ++round) {
    PatternIndex index;
    std::vector<Pattern> patterns;
    std::vector<std::string> written;
    while (patterns.size() < 40) {
      const std::string text = texts.Make("ab/*", 9);
      Result<Pattern> pattern = Pattern::Parse(text);
      if (!pattern.ok()) continue;
      index.Add(text, static_cast<PatternIndex::Item>(patterns.size()));
      patterns.push_back(*std::move(pattern));
      written.push_back(text);
    }
    for (int i = 0; i < 50; ++i) {
      const std::string name = texts.Make("ab/", 9);
      PatternIndex::Items expected;
      for (std::size_t p = 0; p < patterns.size(); ++p) {
        if (patterns[p].Matches(name)) expected.push_back(static_cast<PatternIndex::Item>(p));
      }
      EXPECT_EQ(index.Matching(name), expected) << name;
    }
    for (std::size_t p = 0; p < patterns.size(); ++p) {
      std::size_t budget = 1000000;
      PatternIndex::Items expected;
      for (std::size_t q = 0; q < p; ++q) {
        if (patterns[q].Covers(patterns[p])) expected.push_back(static_cast<PatternIndex::Item>(q));
      }
      EXPECT_EQ(index.Covering(written[p], static_cast<PatternIndex::Item>(p), budget), expected)
          << written[p];
    }
  }
}

TEST(PatternIndex, TellsPatternsApartByAnySegmentBetweenTheirWildcards) {
  PatternIndex index;
  for (PatternIndex::Item item = 0; item < 1000; ++item) {
    index.Add("spiffe://*/ns/team-" + std::to_string(item) + "/sa/*", item);
  }
  EXPECT_EQ(index.Matching("spiffe://prod.example/ns/team-77/sa/builder"), PatternIndex::Items{77});
  EXPECT_EQ(index.Matching("spiffe://ns/team-1/ns/team-2/sa/x"), PatternIndex::Items{});
  std::size_t budget = 20;
  EXPECT_EQ(index.Covering("spiffe://*/ns/team-77/sa/*", 1000, budget), PatternIndex::Items{77});
}

TEST(PatternIndex, ComparesNoMoreThanItMay) {
  PatternIndex index;
  for (PatternIndex::Item item = 0; item < 10; ++item) index.Add("unix:a", item);
  for (PatternIndex::Item item = 10; item < 20; ++item) index.Add("unix:*", item);
  std::size_t budget = 15;
  EXPECT_EQ(index.Covering("unix:a", 100, budget).size(), 15U);
  EXPECT_EQ(budget, 0U);
}

TEST(Pattern, ThatCoversAnotherMatchesAllThatItMatches) {
  Texts texts(Seed());
  int covered = 0;
  for (int round = 0; round < 20000; ++round) {
    const Result<Pattern> wide = Pattern::Parse(texts.Make("ab/*", 5));
    const Result<Pattern> narrow = Pattern::Parse(texts.Make("ab/*", 5));
    if (!wide.ok() || !narrow.ok() || !wide->Covers(*narrow)) continue;
    ++covered;
    for (int i = 0; i < 20; ++i) {
      const std::string name = texts.Make("ab/", 6);
      EXPECT_TRUE(!narrow->Matches(name) || wide->Matches(name)) << name;
    }
  }
  EXPECT_GT(covered, 100);
}

TEST(Pattern, CoversWhatItIsWrittenToTakeIn) {
  const auto covers = [](std::string_view wide, std::string_view narrow) {
    return Pattern::Parse(wide)->Covers(*Pattern::Parse(narrow));
  };
  EXPECT_TRUE(covers("ci:*", "ci:builder"));
  EXPECT_TRUE(covers("ci:*", "ci:*"));
  EXPECT_TRUE(covers("ci:*", "ci:team-*"));
  EXPECT_TRUE(covers("ci:**", "ci:*:*"));
  EXPECT_TRUE(covers("spiffe://prod/**", "spiffe://prod/ns/*/sa/*"));
  EXPECT_FALSE(covers("ci:*", "ci:**"));
  EXPECT_FALSE(covers("ci:*", "ci:a:b"));
  EXPECT_FALSE(covers("ci:team-*", "ci:*"));
  EXPECT_FALSE(covers("ci:builder", "ci:*"));
}

}  // namespace
}  // namespace tokend
