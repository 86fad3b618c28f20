// Runs `tokenctl audit`.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <zlib.h>
#include <zstd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "client/table.h"
#include "tests/unit/client/process.h"
#include "tests/unit/client/written_log.h"

namespace tokend::client {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A record with the given members besides seq, time, event and prev.
std::string Line(std::uint64_t seq, const std::string& event, const std::string& members = "") {
  return R"({"seq":)" + std::to_string(seq) + R"(,"time":"2026-01-01T00:00:00.000000Z","event":")" + event +
         "\"," + members + R"("prev":")" + std::string(64, seq == 1 ? '0' : 'a') + "\"}";
}

class AuditCommands : public testing::Test {
 protected:
  AuditCommands() : log_({}) {}

  // Runs the words after "tokenctl audit" in a shell, in the log's folder.
  Ended Shell(const std::string& before, const std::string& words) const {
    return RunProgram(
        {"/bin/sh", "-c", "cd " + (log_ / "") + " && " + before + std::string(TOKENCTL) + " audit " + words},
        {"PATH=/usr/bin:/bin"});
  }

  static Ended Audit(std::vector<std::string> arguments, const std::vector<std::string>& files,
                     const std::string& in = "") {
    std::vector<std::string> command = {TOKENCTL, "audit"};
    if (!in.empty())
      command = {"/bin/sh", "-c", "in=$1; shift; exec \"$@\" <\"$in\"", "sh", in, TOKENCTL, "audit"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.insert(command.end(), files.begin(), files.end());
    return RunProgram(std::move(command));
  }

  WrittenLog log_;
};

TEST_F(AuditCommands, VerifyPrintsWhatItWalkedAndExitsWith0) {
  const Ended ended =
      Audit({"verify", "--public-key", log_.public_key(), "--anchor", log_.anchors()[0]}, log_.files());
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("records: 150\nfirst: 1\nlast: 150\nhead: " + log_.head() + "\n"));
  EXPECT_EQ(ended.err, "");
}

TEST_F(AuditCommands, VerifyNamesTheBreakAndExitsWith8) {
  std::vector<std::string> lines = log_.lines();
  lines.erase(lines.begin() + 41);
  const Ended ended = Audit({"verify"}, {log_.WriteOne(lines)});
  EXPECT_EQ(ended.exit, 8);
  EXPECT_THAT(ended.out, HasSubstr("result: broken\nseq: 42\nwhat: missing\n"));
}

TEST_F(AuditCommands, BadArgumentsExitWith2) {
  EXPECT_EQ(Audit({"verify"}, {log_ / "absent"}).exit, 2);
  EXPECT_EQ(Audit({"verify", "--anchor", "7"}, log_.files()).exit, 2);
  EXPECT_EQ(Audit({"verify", "--public-key", log_.fingerprint_key()}, log_.files()).exit, 2);
  EXPECT_EQ(Audit({"find", "--since", "yesterday"}, log_.files()).exit, 2);
  EXPECT_EQ(Audit({"find", "--token", "a-bearer"}, log_.files()).exit, 2);
  EXPECT_EQ(Audit({"find", "--token", "-"}, log_.files()).exit, 2);
  EXPECT_EQ(Audit({"find", "--request-id", "018f3b2a"}, log_.files()).exit, 2);
  const Ended misspelt = Audit({"find", "--event", "token.isued"}, log_.files());
  EXPECT_EQ(misspelt.exit, 2);
  EXPECT_THAT(misspelt.err, HasSubstr("--event: must be one of daemon.started, "));
}

TEST_F(AuditCommands, WhatIsNotFoundIsSaidOnStandardError) {
  const Ended found = Audit({"find", "--event", "daemon.stopped"}, log_.files());
  EXPECT_EQ(found.exit, 9);
  EXPECT_EQ(found.out, "");
  EXPECT_EQ(found.err, "tokenctl: no record matches\n");
  const Ended unresolved = Audit({"unresolved"}, {log_.WriteOne({log_.lines()[0], log_.lines()[1]})});
  EXPECT_EQ(unresolved.exit, 9);
  EXPECT_EQ(unresolved.out, "");
  EXPECT_EQ(unresolved.err, "tokenctl: every intent has an end, and no token is unknown or withheld\n");
}

TEST_F(AuditCommands, FindSaysWhoseATokenIs) {
  std::ofstream(log_ / "bearer") << WrittenLog::BearerOf(42) << "\n";
  const std::vector<std::string> ask = {"find", "--token", "-", "--fingerprint-key", log_.fingerprint_key()};
  const Ended ended = Audit(ask, log_.files(), log_ / "bearer");
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("token.issued"));
  EXPECT_THAT(ended.out, HasSubstr("caller-6"));
  EXPECT_THAT(ended.out + ended.err, Not(HasSubstr(WrittenLog::BearerOf(42))));
  std::ofstream(log_ / "bearer") << "another\n";
  EXPECT_EQ(Audit(ask, log_.files(), log_ / "bearer").exit, 9);
}

TEST_F(AuditCommands, FindPrintsTheLinesAsTheyStand) {
  const Ended ended =
      Audit({"--output", "json", "find", "--request-id", "018f3b2a-0000-7000-8000-000000000041"}, {});
  EXPECT_EQ(ended.exit, 2);
  std::vector<std::string> command = {
      TOKENCTL, "--output", "json", "audit", "find", "--request-id", "018f3b2a-0000-7000-8000-000000000041"};
  command.insert(command.end(), log_.files().begin(), log_.files().end());
  const Ended found = RunProgram(std::move(command));
  EXPECT_EQ(found.exit, 0) << found.err;
  EXPECT_EQ(found.out, log_.lines()[40] + "\n" + log_.lines()[41] + "\n");
}

TEST_F(AuditCommands, ARequestIdIsFoundInEitherCase) {
  const Ended ended = Audit({"find", "--request-id", "018F3B2A-0000-7000-8000-000000000041"}, log_.files());
  EXPECT_EQ(ended.exit, 0) << ended.err;
}

TEST_F(AuditCommands, UnresolvedTellsEveryTokenThatNobodyAccountsFor) {
  EXPECT_EQ(Audit({"unresolved"}, log_.files()).exit, 0);  // a checkpoint stands in place of two ends
  std::vector<std::string> lines(log_.lines().begin(), log_.lines().begin() + 10);
  EXPECT_EQ(Audit({"unresolved"}, {log_.WriteOne(lines)}).exit, 9);
  lines.pop_back();
  std::string& unknown = lines[3];
  unknown.replace(unknown.find("token.issued"), 12, "token.unknown");
  const Ended ended = Audit({"unresolved"}, {log_.WriteOne(lines)});
  EXPECT_EQ(ended.exit, 0);
  EXPECT_THAT(ended.out, HasSubstr("token.unknown"));
  EXPECT_THAT(ended.out, HasSubstr("token.intended"));
  EXPECT_THAT(ended.out, Not(HasSubstr("token.issued")));
}

// Each log stands for itself: neither another replica's log nor a copy hides what is open.
TEST_F(AuditCommands, UnresolvedReadsEveryLog) {
  std::vector<std::string> open(log_.lines().begin(), log_.lines().begin() + 9);
  std::vector<std::string> closed(log_.lines().begin(), log_.lines().begin() + 10);
  const std::string stale = log_.Write("stale.jsonl", open);
  const std::string newer = log_.Write("newer.jsonl", closed);
  EXPECT_EQ(Audit({"unresolved"}, {stale}).exit, 0);
  EXPECT_EQ(Audit({"unresolved"}, {stale, newer}).exit, 9) << "the copy is older, and the newer file ends it";
  const std::string one =
      log_.Write("one.jsonl", {Line(1, "token.intended"), Line(2, "token.issued", R"("intent":1,)")});
  const std::string two =
      log_.Write("two.jsonl", {Line(1, "token.intended", R"("grant":"g",)"), Line(2, "checkpoint")});
  for (const auto& files : {std::vector<std::string>{one, two}, {two, one}}) {
    const Ended ended = Audit({"unresolved"}, files);
    EXPECT_EQ(ended.exit, 0);
    EXPECT_THAT(ended.out, HasSubstr(two));
    EXPECT_THAT(ended.out, Not(HasSubstr(one)));
  }
}

TEST_F(AuditCommands, UnresolvedLeavesOutWhatALaterTokenIssuedResolves) {
  const std::vector<std::string> lines = {
      Line(1, "token.intended"),
      Line(2, "token.unknown", R"("intent":1,)"),
      Line(3, "token.intended", R"("resolves":1,)"),
      Line(4, "token.unknown", R"("intent":3,"resolves":1,)"),
      Line(5, "token.intended"),
      Line(6, "token.withheld", R"("intent":5,)"),
      Line(7, "token.intended", R"("resolves":1,)"),
  };
  std::vector<std::string> issued = lines;
  issued.push_back(Line(8, "token.issued", R"("intent":7,"resolves":1,)"));
  const Ended before = Audit({"unresolved", "--output", "json"}, {log_.WriteOne(lines)});
  EXPECT_EQ(before.out, lines[1] + "\n" + lines[3] + "\n" + lines[5] + "\n" + lines[6] + "\n");
  const Ended after = Audit({"unresolved", "--output", "json"}, {log_.WriteOne(issued)});
  EXPECT_EQ(after.exit, 0);
  EXPECT_EQ(after.out, lines[5] + "\n") << "a token.withheld stays";
  // Another log's token.issued resolves nothing here.
  const std::string other = log_.Write(
      "other.jsonl",
      {Line(1, "token.intended", R"("grant":"g",)"), Line(2, "token.issued", R"("intent":1,"resolves":1,)")});
  EXPECT_EQ(Audit({"unresolved", "--output", "json"}, {log_.WriteOne(lines), other}).out, before.out);
}

// A relay asked again for a request_id: once after a start had ended its intent, and once after a refusal.
TEST_F(AuditCommands, UnresolvedReadsWhatARelayWrites) {
  std::vector<std::string> lines = {
      Line(1, "token.intended"),
      Line(2, "token.unknown", R"("intent":1,"reason":"daemon_stopped",)"),
      Line(3, "token.intended", R"("resolves":1,)"),
      Line(4, "token.unknown", R"("intent":3,"resolves":1,"reason":"daemon_stopped",)"),
      Line(5, "token.intended", R"("resolves":1,)"),
      Line(6, "token.refused", R"("intent":5,"resolves":1,)"),
  };
  EXPECT_EQ(Audit({"unresolved", "--output", "json"}, {log_.WriteOne(lines)}).out,
            lines[1] + "\n" + lines[3] + "\n");
  lines.push_back(Line(7, "token.intended", R"("resolves":1,)"));
  lines.push_back(Line(8, "token.issued", R"("intent":7,"resolves":1,)"));
  EXPECT_EQ(Audit({"unresolved"}, {log_.WriteOne(lines)}).exit, 9);
}

TEST_F(AuditCommands, UnresolvedEndsWith8WhereALineOtherThanTheLastCannotBeRead) {
  std::vector<std::string> lines(log_.lines().begin(), log_.lines().begin() + 10);
  lines[4].resize(80);
  EXPECT_EQ(Audit({"unresolved"}, {log_.WriteOne(lines)}).exit, 8);
  lines.assign(log_.lines().begin(), log_.lines().begin() + 9);
  lines[8].resize(80);
  EXPECT_EQ(Audit({"unresolved"}, {log_.WriteOne(lines)}).exit, 9);
  lines[7].resize(80);
  EXPECT_EQ(Audit({"unresolved"}, {log_.WriteOne(lines)}).exit, 8);
}

TEST_F(AuditCommands, UnresolvedSaysWhichLinesItCouldNotRead) {
  std::vector<std::string> lines(log_.lines().begin(), log_.lines().begin() + 10);
  lines.erase(lines.begin() + 4, lines.begin() + 6);
  EXPECT_EQ(Audit({"unresolved"}, {log_.WriteOne(lines)}).exit, 8) << "an intent may be missing";
  const std::string late = log_.WriteOne({log_.lines().begin() + 4, log_.lines().begin() + 10});
  const Ended ended = Audit({"unresolved"}, {late});
  EXPECT_EQ(ended.exit, 9);
  EXPECT_THAT(ended.err, HasSubstr(late + " begins at seq 5: what came before was not read\n"));
}

// The shell's audit.jsonl* also names the lock file, which has no records.
TEST_F(AuditCommands, TheLockFileBesideALogIsPassedOver) {
  log_.Write("audit.jsonl", {log_.lines().begin(), log_.lines().begin() + 10});
  std::ofstream(log_ / "audit.jsonl.lock");
  EXPECT_EQ(Shell("rm audit-*; ", "verify audit.jsonl*").exit, 0);
  std::ofstream(log_ / "audit.jsonl.lock") << "a short text\n";
  const Ended ended = Shell("", "unresolved audit.jsonl*");
  EXPECT_EQ(ended.exit, 9) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("audit.jsonl.lock is a lock file"));
  EXPECT_EQ(Shell("", "unresolved audit.jsonl.lock").exit, 2);
}

TEST_F(AuditCommands, APipeIsReadOnce) {
  std::ofstream(log_ / "all") << ReadAll(log_.files()[0]) << ReadAll(log_.files()[1])
                              << ReadAll(log_.files()[2]);
  const Ended verified = Shell("cat all | ", "verify /dev/stdin");
  EXPECT_EQ(verified.exit, 0) << verified.err;
  EXPECT_THAT(verified.out, StartsWith("records: 150\nfirst: 1\nlast: 150\nhead: " + log_.head() + "\n"));
  const Ended open = Shell("head -n 9 all | ", "unresolved /dev/stdin");
  EXPECT_EQ(open.exit, 0) << open.err;
  EXPECT_THAT(open.out, HasSubstr("token.intended"));
  const Ended packed = Shell("gzip -c all | ", "verify /dev/stdin");
  EXPECT_EQ(packed.exit, 0) << packed.err;
  EXPECT_EQ(Shell("cat all | ", "verify /dev/stdin /dev/stdin").exit, 2) << "each would get a part";
}

TEST_F(AuditCommands, WhatIsNoLogExitsWith2AndSaysWhatItIs) {
  const std::string good = log_.WriteOne(log_.lines());
  std::ofstream(log_ / "text") << "one\ntwo\n";
  std::ofstream(log_ / "empty");
  std::ofstream(log_ / "half") << log_.lines()[0].substr(0, 100);
  std::ofstream(log_ / "log.xz", std::ios::binary) << std::string(
      "\xfd"
      "7zXZ\0\0\4",
      8);
  std::string random(100'000, '\0');
  for (char& c : random) c = static_cast<char>(std::rand());  // NOLINT
  std::ofstream(log_ / "random", std::ios::binary) << random;
  const std::vector<std::pair<std::string, std::string>> cases = {{"text", "its 2 lines are no records"},
                                                                  {"empty", "is empty"},
                                                                  {"half", "half a line"},
                                                                  {"log.xz", "is compressed with xz"},
                                                                  {"random", "is no audit log"}};
  for (const auto& [name, words] : cases) {
    for (const char* command : {"verify", "find", "unresolved"}) {
      for (const auto& files : {std::vector<std::string>{log_ / name}, {good, log_ / name}}) {
        const Ended ended = Audit({command}, files);
        EXPECT_EQ(ended.exit, 2) << name << " " << command;
        EXPECT_THAT(ended.err, HasSubstr(words));
        EXPECT_EQ(ended.out, "");
      }
    }
  }
  for (const char* other : {"/dev/null", "/dev/zero", "/tmp"}) EXPECT_EQ(Audit({"verify"}, {other}).exit, 2);
}

// A fault may leave a file with half a line. The next file then names it.
TEST_F(AuditCommands, AFileThatWasSetAsideMayHoldNoRecord) {
  const std::string aside = log_ / "audit-00000000000000000001.jsonl";
  std::ofstream(aside) << log_.lines()[0].substr(0, 100);
  const std::string open = log_.Write(
      "audit.jsonl",
      {Line(1, "audit.recovered", R"("detail":"set aside as audit-00000000000000000001.jsonl",)")});
  const Ended ended = Audit({"verify"}, {aside, open});
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("note: " + aside + " holds no record"));
}

TEST_F(AuditCommands, VerifyPrintsEachLogAndWhatItDidNotCheck) {
  std::vector<std::string> lines = log_.lines();
  lines[41].replace(lines[41].find("ios-app"), 7, "evilapp");
  const std::string tampered = log_.Write("tampered.jsonl", lines);
  const std::string good = log_.Write("good.jsonl", {Line(1, "daemon.started")});
  const Ended ended = Audit({"verify"}, {tampered, good});
  EXPECT_EQ(ended.exit, 8);
  EXPECT_THAT(ended.out, HasSubstr("files: " + good + "\nnot checked: whether the end was cut off"));
  EXPECT_THAT(ended.out, HasSubstr("result: broken\nseq: 42\nwhat: changed\n"));
  EXPECT_THAT(ended.out, HasSubstr("result: intact\n"));
  const Ended anchored = Audit({"verify", "--public-key", log_.public_key(), "--anchor", log_.anchors()[0],
                                "--anchor", log_.anchors()[1]},
                               log_.files());
  EXPECT_EQ(anchored.exit, 0) << anchored.err;
  EXPECT_THAT(anchored.out, HasSubstr("anchors that hold: 2\n"));
  EXPECT_THAT(anchored.out,
              HasSubstr("not checked: what came after seq 80, the last anchor\nresult: intact\n"));
}

TEST_F(AuditCommands, VerifyTakesAnchorsFromStandardInput) {
  const std::string& last = log_.anchors().back();
  const std::size_t colon = last.find(':');
  std::ofstream(log_ / "stderr.log") << "T INFO audit.checkpoint seq=" << last.substr(0, colon)
                                     << " prev=" << last.substr(colon + 1) << "\n";
  const std::string one = log_.WriteOne(log_.lines());
  EXPECT_EQ(Audit({"verify", "--anchors", "-"}, {one}, log_ / "stderr.log").exit, 0);
  std::vector<std::string> cut = log_.lines();
  cut.resize(120);
  const Ended ended = Audit({"verify", "--anchors", "-"}, {log_.WriteOne(cut)}, log_ / "stderr.log");
  EXPECT_EQ(ended.exit, 8);
  EXPECT_THAT(ended.out, HasSubstr("what: cut off\n"));
}

TEST_F(AuditCommands, FindTakesPatternsIdsAndTimes) {
  const std::vector<std::string> lines = {
      Line(1, "token.issued",
           R"("caller":{"name":"spiffe://p.example/ns/ci/sa/a"},"target":{"organization":"acme",)"
           R"("application":"ios-app"},"grant":"mobile-ci","token":{"id":"t1","application":"5f0c"},)"),
      Line(2, "token.issued",
           R"("caller":{"name":"ci:b"},"target":{"organization":"beta","application":"web"},)"
           R"("grant":"release","token":{"id":"t2"},)"),
  };
  const std::string log = log_.WriteOne(lines);
  const auto found = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"find", "--output", "json"});
    const Ended ended = Audit(std::move(options), {log});
    EXPECT_EQ(ended.exit, ended.out.empty() ? 9 : 0) << ended.err;
    return (ended.out.find("\"t1\"") != std::string::npos ? 1 : 0) +
           (ended.out.find("\"t2\"") != std::string::npos ? 2 : 0);
  };
  EXPECT_EQ(found({"--caller", "spiffe://p.example/ns/*/sa/*"}), 1);
  EXPECT_EQ(found({"--caller", "ci:b"}), 2);
  EXPECT_EQ(found({"--caller", "*"}), 3);
  EXPECT_EQ(found({"--app", "ios-*"}), 1);
  EXPECT_EQ(found({"--app", "5f0c"}), 1) << "Applivery's id";
  EXPECT_EQ(found({"--org", "be*"}), 2);
  EXPECT_EQ(found({"--grant", "mobile-*"}), 1);
  EXPECT_EQ(found({"--token-id", "t1", "--token-id", "t2"}), 3);
  EXPECT_EQ(found({"--token-id", "t3"}), 0);
  EXPECT_EQ(found({"--since", "2026-01-01"}), 3);
  EXPECT_EQ(found({"--until", "2026-01-01"}), 0);
  EXPECT_EQ(found({"--since", "2026-01-01T00:00:01+00:00"}), 0);
  EXPECT_EQ(found({"--since", "520w"}), 3);
  EXPECT_EQ(found({"--until", "520w"}), 0);
  EXPECT_EQ(found({"--since", "1s"}), 0);
  for (const char* wrong : {"7", "d", "-7d", "7y", "2026-13-01", "infinite-past"}) {
    EXPECT_EQ(Audit({"find", "--since", wrong}, {log}).exit, 2) << wrong;
  }
  EXPECT_EQ(Audit({"find", "--caller", "***"}, {log}).exit, 2);
}

TEST_F(AuditCommands, FindTellsAnotherFingerprintKeyFromAnUnknownToken) {
  std::ofstream(log_ / "bearer") << "a-bearer\n";
  const auto ask = [&](const std::string& key) {
    const std::string token = R"("token":{"fingerprint":"hmac-sha256:00","fingerprint_key":")" + key + "\"},";
    return Audit({"find", "--token", "-", "--fingerprint-key", log_.fingerprint_key()},
                 {log_.WriteOne({Line(1, "token.issued", token)})}, log_ / "bearer");
  };
  const Ended same = ask("47d6dd70");
  EXPECT_EQ(same.exit, 9) << same.err;
  const Ended other = ask("00000000");
  EXPECT_EQ(other.exit, 1);
  EXPECT_THAT(other.err, HasSubstr("another key"));
  const Ended unnamed = ask("");
  EXPECT_EQ(unnamed.exit, 9);
  EXPECT_THAT(unnamed.err, HasSubstr("1 records do not name the key"));
}

TEST_F(AuditCommands, ACallOfARelayIsShownWithTheRelaysCaller) {
  const std::string log = log_.WriteOne(
      {Line(1, "token.issued", R"("caller":{"name":"ci:relay","on_behalf_of":"unix:checkout"},)")});
  EXPECT_THAT(Audit({"find"}, {log}).out, HasSubstr("ci:relay for unix:checkout"));
  EXPECT_THAT(Audit({"find", "--output", "json"}, {log}).out, HasSubstr(R"("on_behalf_of":"unix:checkout")"));
  EXPECT_EQ(Audit({"find", "--caller", "ci:relay"}, {log}).exit, 0);
  EXPECT_EQ(Audit({"find", "--caller", "unix:checkout"}, {log}).exit, 9);
}

TEST_F(AuditCommands, RecordsAreAlsoCsv) {
  const std::string log =
      log_.WriteOne({Line(1, "request.denied",
                          R"("caller":{"name":"ci:a"},"target":{"description":"a \"b\", c\n"},"count":3,)")});
  const Ended ended = Audit({"find", "--output", "csv"}, {log});
  EXPECT_EQ(ended.exit, 0) << ended.err;
  EXPECT_EQ(ended.out,
            "file,seq,time,event,caller,organization,application,description,request_id,token,detail,grant,"
            "count\n" +
                log + ",1,2026-01-01T00:00:00Z,request.denied,ci:a,,,\"a \"\"b\"\", c\\x0A\",,,,,3\n");
  EXPECT_THAT(Audit({"verify", "--output", "csv"}, {log}).out, StartsWith("files,records,first,last,head,"));
}

TEST(TableTest, BecomesBlocksWhereItIsTooWide) {
  const std::vector<Row> rows = {{"SEQ", "CALLER", "DETAIL"}, {"1", "ci:a", ""}, {"2", "", "why"}};
  EXPECT_EQ(Table(rows, 0), "SEQ  CALLER  DETAIL\n1    ci:a\n2            why\n");
  EXPECT_EQ(Table(rows, 19), Table(rows, 0));
  EXPECT_EQ(Table(rows, 18), "seq: 1\ncaller: ci:a\n\nseq: 2\ndetail: why\n");
}

TEST_F(AuditCommands, CompressedFilesAreReadAsTheyAre) {
  std::vector<std::string> files = log_.files();
  const std::string first = ReadAll(files[0]);
  gzFile gzip = gzopen((files[0] + ".gz").c_str(), "wb");
  ASSERT_EQ(gzwrite(gzip, first.data(), static_cast<unsigned>(first.size())), static_cast<int>(first.size()));
  gzclose(gzip);
  const std::string second = ReadAll(files[1]);
  std::string packed(ZSTD_compressBound(second.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), second.data(), second.size(), 3));
  std::ofstream(files[1] + ".zst", std::ios::binary) << packed;
  files[0] += ".gz";
  files[1] += ".zst";
  const Ended ended = Audit({"verify", "--public-key", log_.public_key()}, files);
  EXPECT_EQ(ended.exit, 0) << ended.out << ended.err;
  EXPECT_THAT(ended.out, StartsWith("records: 150\n"));
  std::filesystem::resize_file(files[1], packed.size() / 2);
  EXPECT_EQ(Audit({"verify"}, files).exit, 2) << "a file that is cut off is no sound log";
}

// The greatest memory that a command used, in KiB, and its time.
struct Cost {
  long kib = 0;
  std::chrono::duration<double> time{0};
  int exit = -1;
};

Cost CostOf(std::vector<std::string> command) {
  std::vector<char*> pointers;
  for (std::string& part : command) pointers.push_back(part.data());
  pointers.push_back(nullptr);
  const auto start = std::chrono::steady_clock::now();
  const pid_t pid = fork();
  if (pid == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  int status = 0;
  rusage usage = {};
  if (wait4(pid, &status, 0, &usage) != pid) return {};
  return {usage.ru_maxrss, std::chrono::steady_clock::now() - start,
          WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

TEST_F(AuditCommands, MemoryStaysFlatHoweverLongTheLogIs) {
  // TOKEND_LONG_TESTS makes a log of 1 GiB.
  const std::size_t records = std::getenv("TOKEND_LONG_TESTS") != nullptr ? 2'000'000 : 40'000;
  const WrittenLog big({.records = records, .files = 5, .checkpoint_every = 1000});
  std::uintmax_t bytes = 0;
  for (const std::string& file : big.files()) bytes += std::filesystem::file_size(file);
  const double mib = static_cast<double>(bytes) / (1 << 20);
  for (const std::vector<std::string>& ask : std::vector<std::vector<std::string>>{
           {"verify", "--public-key", "KEY"}, {"find", "--event", "token.replayed"}, {"unresolved"}}) {
    const auto cost_of = [&ask](const WrittenLog& log) {
      std::vector<std::string> command = {TOKENCTL, "audit"};
      for (const std::string& word : ask) command.push_back(word == "KEY" ? log.public_key() : word);
      command.insert(command.end(), log.files().begin(), log.files().end());
      return CostOf(std::move(command));
    };
    const Cost small = cost_of(log_);
    const Cost large = cost_of(big);
    EXPECT_NE(large.exit, 2);
    EXPECT_NE(large.exit, 8);
    EXPECT_LT(large.kib, small.kib + 8 * 1024) << ask[0];
    std::cout << ask[0] << ": " << mib << " MiB, " << mib / large.time.count() << " MiB/s, at most "
              << large.kib / 1024 << " MiB of memory, " << small.kib / 1024 << " MiB for a short log\n";
  }
}

}  // namespace
}  // namespace tokend::client
