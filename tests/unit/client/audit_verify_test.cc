#include "client/audit_verify.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <set>

#include "daemon/audit/chain.h"
#include "daemon/audit/signature.h"
#include "daemon/base/sha256.h"
#include "tests/unit/client/written_log.h"

namespace tokend::client {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

#ifdef __SANITIZE_ADDRESS__
constexpr int kFlips = 1'000;  // the sanitizer makes each flip ten times slower
#else
constexpr int kFlips = 10'000;
#endif

bool Long() { return std::getenv("TOKEND_LONG_TESTS") != nullptr; }

std::mt19937_64 Seeded() {
  const std::uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  return std::mt19937_64(seed);
}

Verified AllFound(const std::vector<std::string>& files, VerifyOptions options = {}) {
  Result<LogFiles> log = LogFiles::Open(files);
  if (!log.ok()) {
    ADD_FAILURE() << log.status();
    return {};
  }
  Result<Verified> found = Verify(*log, std::move(options));
  EXPECT_TRUE(found.ok()) << found.status();
  return found.ok() ? *std::move(found) : Verified{};
}

// The first log of all, with the first break of all.
VerifiedLog Found(const std::vector<std::string>& files, VerifyOptions options = {}) {
  const Verified all = AllFound(files, std::move(options));
  if (all.logs.empty()) return {};
  VerifiedLog first = all.logs.front();
  for (const VerifiedLog& log : all.logs) {
    if (!first.broken) first.broken = log.broken;
  }
  EXPECT_EQ(all.intact(), !first.broken);
  return first;
}

// The number of the line that a changed byte is in, or 0 if the line then has no number.
std::uint64_t NumberAfter(std::string bytes, std::size_t at, char flipped) {
  bytes[at] = flipped;
  const std::size_t before = at == 0 ? std::string::npos : bytes.rfind('\n', at - 1);
  const std::string line = bytes.substr(before + 1, bytes.find('\n', at) - before - 1);
  std::uint64_t number = 0;
  return std::sscanf(line.c_str(), "{\"seq\":%" SCNu64, &number) == 1 ? number : 0;
}

// A log, and the result of verify for changed copies of it.
class VerifyTest : public testing::Test {
 protected:
  VerifyTest() : log_({}) {}

  VerifiedLog FoundIn(const std::vector<std::string>& lines, VerifyOptions options = {}) const {
    return Found({log_.WriteOne(lines)}, std::move(options));
  }
  VerifyOptions WithKey() const {
    VerifyOptions options;
    options.public_key_file = log_.public_key();
    return options;
  }
  // Line i has seq i + 1.
  std::size_t AnyButTheEnds(std::mt19937_64& random) const {
    return 1 + random() % (log_.lines().size() - 3);
  }

  WrittenLog log_;
};

TEST_F(VerifyTest, FindsNothingWrongWithWhatWasWritten) {
  const VerifiedLog found = Found(log_.files(), WithKey());
  EXPECT_FALSE(found.broken) << found.broken->what;
  EXPECT_EQ(found.records, log_.lines().size());
  EXPECT_EQ(found.first, 1U);
  EXPECT_EQ(found.last, log_.lines().size());
  EXPECT_EQ(found.head, log_.head());
  EXPECT_EQ(found.checkpoints, log_.anchors().size());
  EXPECT_EQ(found.unsigned_records, 0U);
}

TEST_F(VerifyTest, TakesTheFilesInAnyOrder) {
  std::vector<std::string> files = log_.files();
  std::sort(files.begin(), files.end());
  do {
    EXPECT_FALSE(Found(files).broken);
  } while (std::next_permutation(files.begin(), files.end()));
}

// A change of the log's last line shows only in the head, or as a break at another line.
TEST_F(VerifyTest, FindsAFlippedBitWhereverItIs) {
  const WrittenLog log({.records = Long() ? std::size_t{2500} : std::size_t{150}, .files = 3});
  std::mt19937_64 random = Seeded();
  struct Part {
    std::string path;
    std::string bytes;
    std::size_t first_line;
  };
  std::vector<Part> parts;
  std::size_t line = 0;
  for (const std::string& path : log.files()) {
    std::ifstream file(path);
    parts.push_back({path, {std::istreambuf_iterator<char>(file), {}}, line});
    line += static_cast<std::size_t>(std::count(parts.back().bytes.begin(), parts.back().bytes.end(), '\n'));
  }
  int exact = 0;
  int only_in_the_head = 0;
  for (int i = 0; i < kFlips; ++i) {
    const Part& part = parts[random() % parts.size()];
    const std::size_t at = random() % part.bytes.size();
    const auto flipped = static_cast<char>(part.bytes[at] ^ (1 << (random() % 8)));
    const auto before =
        std::count(part.bytes.begin(), part.bytes.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    const std::uint64_t seq = part.first_line + static_cast<std::size_t>(before) + 1;
    const int file = open(part.path.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(pwrite(file, &flipped, 1, static_cast<off_t>(at)), 1);
    const VerifiedLog found = Found(log.files());
    ASSERT_EQ(pwrite(file, &part.bytes[at], 1, static_cast<off_t>(at)), 1);
    close(file);
    if (found.broken) {
      // A changed number is reported where the number is missing, or where the line now claims to be. A
      // file's first line may then claim the number of a record in another file.
      const bool is_number =
          found.broken->what != "changed" || found.broken->seq == NumberAfter(part.bytes, at, flipped);
      EXPECT_TRUE(is_number || (found.broken->seq + 1 >= seq && found.broken->seq <= seq + 1))
          << "seq " << seq << " is wrong, not " << found.broken->seq << ": " << found.broken->what;
      exact += found.broken->seq == seq ? 1 : 0;
    } else {
      ASSERT_EQ(seq, log.lines().size()) << "not found, at byte " << at << " of " << part.path;
      EXPECT_NE(found.head, log.head());
      ++only_in_the_head;
    }
  }
  std::cout << kFlips << " flips: " << kFlips - only_in_the_head << " found, " << exact
            << " by their very number; " << only_in_the_head << " in the last line, told by its hash\n";
  EXPECT_GT(exact, kFlips * 9 / 10);
}

TEST_F(VerifyTest, NamesTheFirstLineThatIsMissing) {
  std::mt19937_64 random = Seeded();
  for (int i = 0; i < 200; ++i) {
    std::vector<std::string> lines = log_.lines();
    const std::size_t at = AnyButTheEnds(random);
    const std::size_t count = 1 + random() % std::min<std::size_t>(5, lines.size() - at - 1);
    const auto begin = lines.begin() + static_cast<std::ptrdiff_t>(at);
    lines.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
    const VerifiedLog found = FoundIn(lines);
    ASSERT_TRUE(found.broken);
    EXPECT_EQ(found.broken->what, "missing");
    EXPECT_EQ(found.broken->seq, at + 1);
  }
}

TEST_F(VerifyTest, NamesALineThatWasInserted) {
  std::mt19937_64 random = Seeded();
  for (int i = 0; i < 200; ++i) {
    std::vector<std::string> lines = log_.lines();
    const std::size_t at = AnyButTheEnds(random);
    // A line with the right number and the right hash.
    const std::string forged =
        "{\"seq\":" + std::to_string(at + 1) +
        ",\"time\":\"2026-01-01T00:00:00.000000Z\",\"event\":\"request.denied\",\"prev\":\"" +
        Sha256Hex(lines[at - 1]) + "\"}";
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(at), forged);
    const VerifiedLog found = FoundIn(lines);
    ASSERT_TRUE(found.broken);
    EXPECT_EQ(found.broken->seq, at + 1);
    EXPECT_EQ(found.broken->what, "inserted");
  }
}

TEST_F(VerifyTest, NamesLinesThatWereSwapped) {
  std::mt19937_64 random = Seeded();
  for (int i = 0; i < 200; ++i) {
    std::vector<std::string> lines = log_.lines();
    const std::size_t a = AnyButTheEnds(random);
    const std::size_t b = a + 1 + random() % (lines.size() - a - 1);
    std::swap(lines[a], lines[b]);
    const VerifiedLog found = FoundIn(lines);
    ASSERT_TRUE(found.broken);
    EXPECT_EQ(found.broken->what, "reordered");
    EXPECT_EQ(found.broken->seq, a + 1);
  }
}

TEST_F(VerifyTest, SeesACutOffTailByAnAnchorAlone) {
  VerifyOptions anchored;
  ASSERT_TRUE(anchored.anchors.Add(log_.anchors().back()).ok());
  EXPECT_FALSE(Found(log_.files(), anchored).broken);
  std::vector<std::string> lines = log_.lines();
  lines.resize(lines.size() - 10);
  EXPECT_FALSE(FoundIn(lines).broken);
  const VerifiedLog found = FoundIn(lines, anchored);
  ASSERT_TRUE(found.broken);
  EXPECT_EQ(found.broken->what, "cut off");
  EXPECT_EQ(found.broken->seq, lines.size() + 1);
}

// An intruder on the host can compute a new chain, but cannot sign it.
TEST_F(VerifyTest, SeesAChainThatWasMadeAnewByItsSignaturesAlone) {
  std::vector<std::string> lines = log_.lines();
  std::string hash = Sha256Hex(lines[49]);
  for (std::size_t i = 50; i < lines.size(); ++i) {
    std::string& line = lines[i];
    if (i == 50) line.replace(line.find("ios-app"), 7, "evilapp");
    line.replace(line.size() - 66, 64, hash);
    hash = Sha256Hex(line);
  }
  EXPECT_FALSE(FoundIn(lines).broken);
  const VerifiedLog found = FoundIn(lines, WithKey());
  ASSERT_TRUE(found.broken);
  EXPECT_EQ(found.broken->what, "bad signature");
  EXPECT_EQ(found.broken->seq, 80U);
  EXPECT_EQ(found.checkpoints, 1U);
}

TEST_F(VerifyTest, TakesNoOtherKeysSignatures) {
  const WrittenLog other({});
  VerifyOptions options;
  options.public_key_file = other.public_key();
  const VerifiedLog found = Found(log_.files(), options);
  ASSERT_TRUE(found.broken);
  EXPECT_EQ(found.broken->what, "bad signature");
  EXPECT_EQ(found.broken->seq, 40U);
}

TEST_F(VerifyTest, SkipsWhatALaterFileBeginsAgainAndTheLineThatTore) {
  const std::vector<std::string>& lines = log_.lines();
  const std::string closed = log_ / "audit-00000000000000000001.jsonl";
  const std::string open = log_ / "audit.jsonl";
  std::ofstream old_file(closed);
  for (std::size_t i = 0; i < 60; ++i) old_file << lines[i] << '\n';
  old_file << lines[60].substr(0, 100);  // cut off
  old_file.close();
  // A new file repeats the numbers from the 51st line on, with other lines.
  std::ofstream new_file(open);
  std::string hash = Sha256Hex(lines[49]);
  for (std::size_t i = 50; i < 70; ++i) {
    const std::string line =
        "{\"seq\":" + std::to_string(i + 1) + ",\"time\":\"2026-01-02T00:00:00.000000Z\",\"event\":\"" +
        (i == 50 ? "audit.recovered" : "token.replayed") + "\",\"prev\":\"" + hash + "\"}";
    hash = Sha256Hex(line);
    new_file << line << '\n';
  }
  new_file.close();
  for (const auto& files : {std::vector<std::string>{closed, open}, {open, closed}}) {
    const VerifiedLog found = Found(files);
    EXPECT_FALSE(found.broken) << found.broken->seq << " " << found.broken->what;
    EXPECT_EQ(found.records, 70U);
    EXPECT_EQ(found.head, hash);
  }
}

// The first lines with another request in each, as another replica or an intruder writes them.
std::vector<std::string> AnotherLog(std::vector<std::string> lines, std::size_t from = 0) {
  std::string hash = from == 0 ? std::string(64, '0') : Sha256Hex(lines[from - 1]);
  for (std::size_t i = from; i < lines.size(); ++i) {
    std::string& line = lines[i];
    if (const std::size_t at = line.find("ios-app"); at != std::string::npos) line.replace(at, 7, "web-app");
    line.replace(line.size() - 66, 64, hash);
    hash = Sha256Hex(line);
  }
  return lines;
}

TEST_F(VerifyTest, JudgesEachLogForItself) {
  const std::string good = log_.Write("replica.jsonl", AnotherLog(log_.lines()));
  std::vector<std::string> lines = log_.lines();
  lines[41].replace(lines[41].find("ios-app"), 7, "evilapp");
  const std::string tampered = log_.Write("tampered.jsonl", lines);
  for (const auto& files : {std::vector<std::string>{tampered, good}, {good, tampered}}) {
    const Verified found = AllFound(files);
    ASSERT_EQ(found.logs.size(), 2U);
    for (const VerifiedLog& log : found.logs) {
      EXPECT_EQ(log.broken ? log.broken->seq : 0U, log.files[0] == tampered ? 42U : 0U);
      EXPECT_EQ(log.records < log_.lines().size(), log.files[0] == tampered);
    }
  }
}

TEST_F(VerifyTest, ReplicasWhoseFilesBeginAfterSeq1AreNoGapsOfEachOther) {
  const std::vector<std::string> other = AnotherLog(log_.lines());
  std::filesystem::create_directory(log_ / "other");
  const std::string early = log_.Write("audit.jsonl", {log_.lines().begin() + 10, log_.lines().begin() + 50});
  const std::string late = log_.Write("other/audit.jsonl", {other.begin() + 100, other.end()});
  const Verified found = AllFound({late, early});
  ASSERT_EQ(found.logs.size(), 2U);
  EXPECT_TRUE(found.intact());
  EXPECT_THAT(found.logs[0].not_checked, Contains("what came before seq 11"));
  const std::string next = log_.Write("other/audit.jsonl", {other.begin() + 50, other.end()});
  EXPECT_TRUE(AllFound({next, early}).intact()) << "it begins where the other folder's log ends";
  VerifyOptions from_start;
  from_start.from_start = true;
  const Verified whole = AllFound({late, early}, from_start);
  for (const VerifiedLog& log : whole.logs) {
    ASSERT_TRUE(log.broken);
    EXPECT_EQ(log.broken->what, "missing");
    EXPECT_EQ(log.broken->seq, 1U);
  }
  EXPECT_FALSE(Found(log_.files(), from_start).broken);
}

TEST_F(VerifyTest, NamesTheLinesOfAFileThatIsMissingBetweenTwo) {
  const VerifiedLog found = Found({log_.files()[0], log_.files()[2]});
  ASSERT_TRUE(found.broken);
  EXPECT_EQ(found.broken->what, "missing");
  EXPECT_EQ(found.broken->seq, 52U);
}

TEST_F(VerifyTest, ReadsEveryRecordBesideAStaleCopy) {
  std::vector<std::string> start(log_.lines().begin(), log_.lines().begin() + 3);
  const std::string whole = log_.WriteOne(log_.lines());
  const std::string copy = log_.Write("one.jsonl.bak", start);
  std::ofstream(copy, std::ios::app) << log_.lines()[3].substr(0,
                                                               50);  // it was made while a line was written
  for (const auto& files : {std::vector<std::string>{whole, copy}, {copy, whole}, {copy, whole, whole}}) {
    const Verified found = AllFound(files);
    ASSERT_EQ(found.logs.size(), 1U);
    EXPECT_TRUE(found.intact());
    EXPECT_EQ(found.logs[0].records, log_.lines().size());
    EXPECT_EQ(found.logs[0].head, log_.head());
    EXPECT_THAT(found.notes, Contains(AllOf(HasSubstr(copy), HasSubstr("up to seq 3"))));
  }
}

TEST_F(VerifyTest, CountsAFileThatIsAlsoPartOfAnotherOnce) {
  std::vector<std::string> files = log_.files();
  files.push_back(log_.WriteOne(log_.lines()));
  const Verified found = AllFound(files);
  ASSERT_EQ(found.logs.size(), 1U);
  EXPECT_TRUE(found.intact());
  EXPECT_EQ(found.logs[0].records, log_.lines().size());
}

TEST_F(VerifyTest, NamesBothFilesThatOverlap) {
  const std::vector<std::string>& lines = log_.lines();
  const std::string one = log_.Write("a.jsonl", {lines.begin(), lines.begin() + 50});
  const std::string other = log_.Write("b.jsonl", {lines.begin() + 40, lines.end()});
  const Verified found = AllFound({other, one});
  ASSERT_EQ(found.logs.size(), 1U);
  EXPECT_TRUE(found.intact());
  EXPECT_EQ(found.logs[0].records, lines.size());
  EXPECT_THAT(found.logs[0].files, ElementsAre(one, other));
  EXPECT_THAT(found.notes,
              ElementsAre(one + " has lines in common with " + other + " up to seq 50; they count once"));
}

TEST_F(VerifyTest, NamesBothFilesOfAFork) {
  const std::string one = log_.Write("a.jsonl", log_.lines());
  const std::string other = log_.Write("b.jsonl", AnotherLog(log_.lines(), 60));
  const Verified found = AllFound({one, other});
  ASSERT_EQ(found.logs.size(), 2U);
  for (const VerifiedLog& log : found.logs) {
    ASSERT_TRUE(log.broken);
    EXPECT_EQ(log.broken->what, "forked");
    EXPECT_EQ(log.broken->seq, 60U);
    EXPECT_THAT(log.broken->detail, AllOf(HasSubstr(one), HasSubstr(other)));
  }
  // A copy of a branch counts once.
  const Verified copied = AllFound({one, other, log_.Write("c.jsonl", AnotherLog(log_.lines(), 60))});
  ASSERT_EQ(copied.logs.size(), 2U);
  EXPECT_EQ(copied.logs[0].records + copied.logs[1].records, 2 * log_.lines().size() - 60);
  // The same where each branch is a file of its own.
  const std::vector<std::string> lines = AnotherLog(log_.lines(), 60);
  const std::string trunk = log_.Write("t.jsonl", {lines.begin(), lines.begin() + 60});
  const std::string left = log_.Write("l.jsonl", {log_.lines().begin() + 60, log_.lines().end()});
  const std::string right = log_.Write("r.jsonl", {lines.begin() + 60, lines.end()});
  EXPECT_EQ(Found({trunk, left, right}).broken->what, "forked");
  EXPECT_EQ(Found({left, right}).broken->what, "forked");
}

TEST_F(VerifyTest, ARecordWithSeq1BeginsAnotherLogInTheMiddleOfAFile) {
  std::vector<std::string> lines = {"Starting."};
  lines.insert(lines.end(), log_.lines().begin(), log_.lines().begin() + 20);
  lines.push_back("Restarting.");
  const std::vector<std::string> second = AnotherLog(log_.lines());
  lines.insert(lines.end(), second.begin(), second.begin() + 30);
  const std::string collected = log_.WriteOne(lines);
  const Verified found = AllFound({collected});
  ASSERT_EQ(found.logs.size(), 2U);
  EXPECT_TRUE(found.intact());
  EXPECT_EQ(found.logs[0].records, 20U);
  EXPECT_EQ(found.logs[1].records, 30U);
  EXPECT_THAT(found.notes, Contains(HasSubstr("2 lines are no records, the first is line 1")));
}

TEST_F(VerifyTest, SkipsWhatStandardOutputBeginsAgainAfterAFault) {
  const std::vector<std::string>& all = log_.lines();
  std::vector<std::string> lines(all.begin(), all.begin() + 60);
  lines.push_back(all[60].substr(0, 100));
  lines.push_back(
      "{\"seq\":51,\"time\":\"2026-01-02T00:00:00.000000Z\",\"event\":\"audit.recovered\",\"prev\":\"" +
      Sha256Hex(all[49]) + "\"}");
  const VerifiedLog found = FoundIn(lines);
  EXPECT_FALSE(found.broken) << found.broken->seq << " " << found.broken->what;
  EXPECT_EQ(found.records, 51U);
  EXPECT_EQ(found.last, 51U);
}

TEST_F(VerifyTest, SaysThatALineIsNoRecordWhereARecordIsMissing) {
  std::vector<std::string> lines = log_.lines();
  lines[70].resize(50);
  VerifiedLog found = FoundIn(lines);
  ASSERT_TRUE(found.broken);
  EXPECT_EQ(found.broken->seq, 71U);
  EXPECT_EQ(found.broken->what, "changed");
  lines = log_.lines();
  lines.back().resize(50);
  found = FoundIn(lines);
  ASSERT_TRUE(found.broken);
  EXPECT_EQ(found.broken->seq, lines.size());
}

// The operational log, collected together with the records, may go on behind the last of them.
TEST_F(VerifyTest, OtherLinesAtTheEndOfAFileBreakNothing) {
  std::vector<std::string> lines = log_.lines();
  lines.push_back("2026-01-01T00:00:00.000000Z INFO audit.checkpoint seq=150 prev=00");
  lines.push_back(
      R"({"time":"2026-01-01T00:00:00.000000Z","level":"info","event":"audit.checkpoint","seq":150,"prev":"00"})");
  const Verified found = AllFound({log_.WriteOne(lines)});
  EXPECT_TRUE(found.intact());
  EXPECT_THAT(found.notes, Contains(HasSubstr("2 lines are no records, the first is line 151")));
  std::vector<std::string> before = {lines[150]};
  before.insert(before.end(), log_.lines().begin() + 10, log_.lines().end());
  EXPECT_TRUE(AllFound({log_.WriteOne(before)}).intact());
}

TEST_F(VerifyTest, ACopyDoesNotHideThatItsEndIsDamaged) {
  std::vector<std::string> start(log_.lines().begin(), log_.lines().begin() + 5);
  start.back().resize(80);
  const std::string copy = log_.Write("copy.jsonl", start);
  const std::string whole = log_.WriteOne(log_.lines());
  for (const auto& files : {std::vector<std::string>{whole, copy}, {copy, whole}}) {
    const VerifiedLog found = Found(files);
    ASSERT_TRUE(found.broken);
    EXPECT_EQ(found.broken->seq, 5U);
    EXPECT_THAT(found.broken->detail, HasSubstr(copy));
  }
}

TEST_F(VerifyTest, SaysWhatItDidNotCheck) {
  const std::vector<std::string>& lines = log_.lines();
  const std::string begun = log_.WriteOne({lines.begin() + 10, lines.begin() + 50});
  EXPECT_THAT(Found({begun}).not_checked,
              ElementsAre("what came before seq 11", HasSubstr("fingerprints: "),
                          "whether the end was cut off: no anchor holds in this log",
                          "signatures: no public key was given"));
  EXPECT_THAT(Found({begun}, WithKey()).not_checked,
              Contains("signatures of what came after seq 40, the last signed checkpoint"));
  VerifyOptions options = WithKey();
  ASSERT_TRUE(options.anchors.Add(log_.anchors().back()).ok());
  EXPECT_THAT(Found(log_.files(), options).not_checked,
              ElementsAre(HasSubstr("fingerprints: "), "what came after seq 150, the last anchor"));
}

TEST_F(VerifyTest, AnAnchorMustHoldInOneOfTheLogs) {
  const std::vector<std::string> other = AnotherLog(log_.lines());
  const std::string one = log_.Write("a.jsonl", log_.lines());
  const std::string two = log_.Write("b.jsonl", other);
  VerifyOptions options;
  for (const std::string& anchor : log_.anchors()) ASSERT_TRUE(options.anchors.Add(anchor).ok());
  const Verified found = AllFound({one, two}, options);
  EXPECT_TRUE(found.intact());
  ASSERT_EQ(found.logs.size(), 2U);
  for (const VerifiedLog& log : found.logs) {
    EXPECT_EQ(log.anchors, log.files[0] == one ? log_.anchors().size() : 0U);
  }
  ASSERT_TRUE(options.anchors.Add("77:" + std::string(64, 'a')).ok());
  const Verified unmet = AllFound({one, two}, options);
  EXPECT_FALSE(unmet.intact());
  ASSERT_EQ(unmet.unmet_anchors.size(), 1U);
  EXPECT_EQ(unmet.unmet_anchors[0].anchor.seq, 77U);
}

TEST_F(VerifyTest, TakesTheAnchorsOfAnOperationalLogInEitherForm) {
  const auto parts = [this](std::size_t i) {
    const std::string& anchor = log_.anchors()[i];
    return std::pair(anchor.substr(0, anchor.find(':')), anchor.substr(anchor.find(':') + 1));
  };
  const std::string file = log_.Write(
      "operational.log",
      {"2026-01-01T00:00:00.000000Z INFO audit.checkpoint seq=" + parts(0).first + " prev=" + parts(0).second,
       R"({"time":"2026-01-01T00:00:00.000000Z","level":"info","event":"audit.checkpoint","seq":)" +
           parts(1).first + R"(,"prev":")" + parts(1).second + "\"}",
       R"(2026-01-01T00:00:00.000000Z INFO call detail="x audit.checkpoint seq=1 prev=0")", "other"});
  VerifyOptions options;
  ASSERT_TRUE(options.anchors.AddFrom(file).ok());
  const VerifiedLog found = Found(log_.files(), options);
  EXPECT_FALSE(found.broken);
  EXPECT_EQ(found.anchors, 2U);
  EXPECT_EQ(found.last_anchor, 80U);
  Anchors anchors;
  EXPECT_FALSE(anchors.AddFrom(log_.files()[0]).ok()) << "a file without such lines checks nothing";
  EXPECT_FALSE(anchors.AddFrom(log_.Write("cut.log", {"T INFO audit.checkpoint seq=4"})).ok());
}

}  // namespace
}  // namespace tokend::client
