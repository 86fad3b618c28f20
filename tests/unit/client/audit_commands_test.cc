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

#include "tests/unit/client/process.h"
#include "tests/unit/client/written_log.h"

namespace tokend::client {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class AuditCommands : public testing::Test {
 protected:
  AuditCommands() : log_({}) {}

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

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
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
