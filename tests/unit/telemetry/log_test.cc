#include "daemon/telemetry/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <csignal>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"

namespace tokend::telemetry {
namespace {

using namespace std::chrono_literals;
using config::LogFormat;
using config::LogLevel;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

// Replaces standard error by a pipe, until this object is destroyed.
class StandardErrorPipe {
 public:
  StandardErrorPipe() : saved_(dup(STDERR_FILENO)) {
    EXPECT_EQ(pipe(ends_), 0);
    dup2(ends_[1], STDERR_FILENO);
  }
  ~StandardErrorPipe() {
    Restore();
    close(ends_[0]);
  }
  StandardErrorPipe(const StandardErrorPipe&) = delete;
  StandardErrorPipe& operator=(const StandardErrorPipe&) = delete;

  // Fills the pipe.
  void Fill() const {
    const std::string block(4096, '.');
    const int flags = fcntl(ends_[1], F_GETFL);
    fcntl(ends_[1], F_SETFL, flags | O_NONBLOCK);
    while (write(ends_[1], block.data(), block.size()) > 0) {
    }
    fcntl(ends_[1], F_SETFL, flags);
  }

  // Restores standard error, and returns the lines that were written to the pipe.
  std::vector<std::string> Lines() {
    Restore();
    std::string text;
    char block[4096];
    for (ssize_t count = 0; (count = read(ends_[0], block, sizeof(block))) > 0;) {
      text.append(block, static_cast<std::size_t>(count));
    }
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    EXPECT_EQ(lines.back(), "") << "the last line has no end";
    lines.pop_back();
    return lines;
  }

  int read_end() const { return ends_[0]; }

 private:
  void Restore() {
    if (saved_ < 0) return;
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    close(ends_[1]);
    saved_ = -1;
  }

  int saved_;
  int ends_[2] = {-1, -1};
};

std::vector<std::string> LinesOf(const config::Log& options, const std::function<void()>& body) {
  StandardErrorPipe standard_error;
  StartLog(options);
  body();
  StopLog();
  return standard_error.Lines();
}

TEST(Log, IsOneJsonObjectALine) {
  EXPECT_THAT(
      LinesOf({},
              [] {
                Log(LogLevel::kInfo, "call", {{"method", "CreateToken"}, {"latency_us", 1234}});
                Log(LogLevel::kWarning, "key", {{"ratio", 0.25}});
                Log(LogLevel::kError, "stopped", {});
              }),
      ElementsAre(MatchesRegex(R"(\{"time":"20..-..-..T..:..:..\.......Z","level":"info","event":"call",)"
                               R"("method":"CreateToken","latency_us":1234\})"),
                  EndsWith(R"("level":"warning","event":"key","ratio":0.25})"),
                  EndsWith(R"("level":"error","event":"stopped"})")));
}

TEST(Log, IsTextWhereThatIsAskedFor) {
  EXPECT_THAT(
      LinesOf({LogLevel::kInfo, LogFormat::kText},
              [] {
                Log(LogLevel::kInfo, "call",
                    {{"caller", "spiffe://example.org/ci"}, {"detail", "a \"b\"=c\n"}, {"empty", ""}});
              }),
      ElementsAre(MatchesRegex(R"(20..-..-..T..:..:..\.......Z INFO call caller=spiffe://example\.org/ci )"
                               R"(detail="a \\"b\\"=c\\u000a" empty="")")));
}

TEST(Log, EscapesWhateverAValueHolds) {
  const std::string value("\"\\\n\r\t\0\x1b\x7f", 8);
  EXPECT_THAT(LinesOf({},
                      [&] {
                        Log(LogLevel::kInfo, "e", {{"v", value}});
                      }),
              ElementsAre(EndsWith(R"("v":"\"\\\u000a\u000d\u0009\u0000\u001b\u007f"})")));
}

TEST(Log, KeepsUtf8AndReplacesWhatIsNone) {
  EXPECT_THAT(
      LinesOf({},
              [] {
                Log(LogLevel::kInfo, "e", {{"v", "h\xc3\xa9\xf0\x9f\x94\x91"}});
                Log(LogLevel::kInfo, "e", {{"v", "a\xc3(\xff"}});
              }),
      ElementsAre(EndsWith("\"v\":\"h\xc3\xa9\xf0\x9f\x94\x91\"}"), EndsWith("\"v\":\"a\uFFFD(\uFFFD\"}")));
}

TEST(Log, CutsALongValueBetweenCharacters) {
  std::string value(1023, 'x');
  value += "\xc3\xa9";
  EXPECT_THAT(LinesOf({},
                      [&] {
                        Log(LogLevel::kInfo, "e", {{"v", value}});
                      }),
              ElementsAre(EndsWith("\"v\":\"" + std::string(1023, 'x') + "\"}")));
}

TEST(Log, HasNoNumberThatJsonHasNot) {
  EXPECT_THAT(LinesOf({},
                      [] {
                        Log(LogLevel::kInfo, "e",
                            {{"nan", std::numeric_limits<double>::quiet_NaN()},
                             {"infinity", std::numeric_limits<double>::infinity()},
                             {"least", std::numeric_limits<std::int64_t>::min()}});
                      }),
              ElementsAre(EndsWith(R"("nan":null,"infinity":null,"least":-9223372036854775808})")));
}

TEST(Log, LeavesOutWhatIsBelowItsLevel) {
  EXPECT_THAT(LinesOf({LogLevel::kWarning, LogFormat::kJson},
                      [] {
                        Log(LogLevel::kTrace, "trace", {});
                        Log(LogLevel::kInfo, "info", {});
                        Log(LogLevel::kWarning, "warning", {});
                        Log(LogLevel::kError, "error", {});
                      }),
              ElementsAre(HasSubstr("warning"), HasSubstr("error")));
}

TEST(Log, IsWrittenBeforeStartAndAfterStopToo) {
  StandardErrorPipe standard_error;
  Log(LogLevel::kError, "before", {});
  StartLog({});
  StopLog();
  StopLog();
  Log(LogLevel::kInfo, "after", {});
  EXPECT_THAT(standard_error.Lines(), ElementsAre(HasSubstr("before"), HasSubstr("after")));
}

TEST(Log, KeepsLinesWholeBetweenThreads) {
  constexpr int kThreads = 4;
  constexpr int kLines = 100;
  const auto lines = LinesOf({}, [] {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([] {
        for (int line = 0; line < kLines; ++line) Log(LogLevel::kInfo, "call", {{"line", line}});
      });
    }
  });
  EXPECT_THAT(lines, SizeIs(kThreads * kLines));
  EXPECT_THAT(lines, ::testing::Each(
                         MatchesRegex(R"(\{"time":"[^"]+","level":"info","event":"call","line":[0-9]+\})")));
}

// Runs in a process of its own, because the log's thread never ends.
TEST(Log, NeitherBlocksNorHangsAtTheEndWhereNobodyReads) {
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "unit_telemetry", "--gtest_also_run_disabled_tests",
          "--gtest_filter=LogThatNobodyReads.*", nullptr);
    _exit(127);
  }
  int status = 0;
  pid_t ended = 0;
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while ((ended = waitpid(child, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(10ms);
  }
  if (ended == 0) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  ASSERT_EQ(ended, child) << "it hangs";
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(LogThatNobodyReads, DISABLED_ReturnsInTime) {
  const StandardErrorPipe standard_error;
  standard_error.Fill();
  Log(LogLevel::kInfo, "before", {});
  StartLog({});
  const auto start = std::chrono::steady_clock::now();
  for (int line = 0; line < 10000; ++line) Log(LogLevel::kInfo, "call", {{"line", line}});
  const auto logged = std::chrono::steady_clock::now();
  StopLog();
  Log(LogLevel::kInfo, "after", {});
  const auto stopped = std::chrono::steady_clock::now();
  _exit(logged - start > 5s || stopped - logged > 5s ? 1 : 0);
}

struct Tally {
  int written = 0;
  std::int64_t dropped = 0;
};

// Reads what the log writes until it ends with the text, and counts the lines of calls and those that are
// said to be dropped.
Tally ReadUntil(int descriptor, const std::string& last) {
  std::string text;
  char block[4096];
  while (!text.ends_with(last)) {
    const ssize_t count = read(descriptor, block, sizeof(block));
    if (count <= 0) return {};
    text.append(block, static_cast<std::size_t>(count));
  }
  text.erase(0, text.find('{'));
  Tally tally;
  const std::string count_key = "\"event\":\"log_lines_dropped\",\"count\":";
  for (const auto line : absl::StrSplit(text, '\n')) {
    if (line.find("\"event\":\"call\"") != absl::string_view::npos) ++tally.written;
    if (const auto at = line.find(count_key.c_str()); at != absl::string_view::npos) {
      tally.dropped += std::stoll(std::string(line.substr(at + count_key.size())));
    }
  }
  return tally;
}

TEST(Log, SaysHowManyLinesWereDroppedOnceThereIsRoom) {
  constexpr int kLines = 10000;
  StandardErrorPipe standard_error;
  standard_error.Fill();
  StartLog({});
  for (int line = 0; line < kLines; ++line) Log(LogLevel::kInfo, "call", {{"line", line}});
  const Tally tally = ReadUntil(standard_error.read_end(), "\"line\":" + std::to_string(kLines - 1) + "}\n");
  StopLog();
  EXPECT_GT(tally.dropped, 0);
  EXPECT_EQ(tally.written + tally.dropped, kLines);
}

// A log whose gathered lines wait for a day, unless something makes it write them. Standard error is a socket
// that keeps apart what was written apart.
class GatheringLog {
 public:
  GatheringLog() : saved_(dup(STDERR_FILENO)) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends_), 0);
    dup2(ends_[1], STDERR_FILENO);
    StartLog({}, 24h);
  }
  ~GatheringLog() {
    StopLog();
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    close(ends_[0]);
    close(ends_[1]);
  }
  GatheringLog(const GatheringLog&) = delete;
  GatheringLog& operator=(const GatheringLog&) = delete;

  static void Gather(int line) {
    const LogField field{"line", line};
    LogGathered(LogLevel::kInfo, "call", {&field, 1});
  }

  // What one write has written; empty if nothing comes in ten seconds.
  std::string NextWrite() const {
    pollfd end{ends_[0], POLLIN, 0};
    if (poll(&end, 1, 10000) <= 0) return "";
    std::string text(65536, '\0');
    const ssize_t count = read(ends_[0], text.data(), text.size());
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }

  // The writes until one that ends with the text, or until nothing comes.
  std::vector<std::string> WritesUntil(const std::string& last) const {
    std::vector<std::string> writes;
    while (writes.empty() || (!writes.back().empty() && !writes.back().ends_with(last))) {
      writes.push_back(NextWrite());
    }
    return writes;
  }

 private:
  int saved_;
  int ends_[2] = {-1, -1};
};

TEST(Log, WritesGatheredLinesTogether) {
  const GatheringLog log;
  for (int line = 0; line < 100; ++line) GatheringLog::Gather(line);
  Log(LogLevel::kInfo, "draining", {});
  const auto writes = log.WritesUntil("\"event\":\"draining\"}\n");
  EXPECT_THAT(writes.back(), EndsWith("\"event\":\"draining\"}\n"));
  EXPECT_LT(writes.size(), 10U);
  std::string text;
  for (const std::string& write : writes) {
    EXPECT_LE(write.size(), std::size_t{PIPE_BUF});
    EXPECT_THAT(write, EndsWith("\n")) << "a line is divided";
    text += write;
  }
  std::size_t at = 0;
  for (int line = 0; line < 100; ++line) {
    at = text.find("\"line\":" + std::to_string(line) + "}", at);
    ASSERT_NE(at, std::string::npos) << line;
  }
}

TEST(Log, WritesAtOnceWhatIsNotGatheredAndTheLinesBeforeIt) {
  const GatheringLog log;
  GatheringLog::Gather(1);
  Log(LogLevel::kWarning, "key", {});
  const auto writes = log.WritesUntil("\"event\":\"key\"}\n");
  EXPECT_THAT(writes.front(), HasSubstr("\"line\":1}"));
  EXPECT_THAT(writes.back(), EndsWith("\"event\":\"key\"}\n"));
}

TEST(Log, WritesManyGatheredLinesWithoutWaiting) {
  const GatheringLog log;
  constexpr int kLines = 600;
  for (int line = 0; line < kLines; ++line) GatheringLog::Gather(line);
  EXPECT_THAT(log.NextWrite(), HasSubstr("\"line\":0}"));
}

TEST(Log, WritesAGatheredLineWithinItsTime) {
  StandardErrorPipe standard_error;
  StartLog({});
  const LogField field{"line", 1};
  LogGathered(LogLevel::kInfo, "call", {&field, 1});
  pollfd end{standard_error.read_end(), POLLIN, 0};
  EXPECT_EQ(poll(&end, 1, 10000), 1);
  StopLog();
  EXPECT_THAT(standard_error.Lines(), ElementsAre(HasSubstr("\"line\":1}")));
}

TEST(Log, WritesGatheredLinesBeforeItStops) {
  StandardErrorPipe standard_error;
  StartLog({}, 24h);
  for (int line = 0; line < 10; ++line) GatheringLog::Gather(line);
  StopLog();
  EXPECT_THAT(standard_error.Lines(), SizeIs(10));
}

TEST(Log, SaysHowManyGatheredLinesWereDropped) {
  constexpr int kLines = 10000;
  StandardErrorPipe standard_error;
  standard_error.Fill();
  StartLog({}, 24h);
  for (int line = 0; line < kLines; ++line) GatheringLog::Gather(line);
  const Tally tally = ReadUntil(standard_error.read_end(), "\"line\":" + std::to_string(kLines - 1) + "}\n");
  StopLog();
  EXPECT_GT(tally.dropped, 0);
  EXPECT_EQ(tally.written + tally.dropped, kLines);
}

TEST(Log, GoesOnWhereStandardErrorIsGone) {
  const auto previous = std::signal(SIGPIPE, SIG_IGN);
  {
    StandardErrorPipe standard_error;
    close(standard_error.read_end());
    StartLog({});
    Log(LogLevel::kInfo, "call", {});
    StopLog();
  }
  std::signal(SIGPIPE, previous);
  EXPECT_THAT(LinesOf({}, [] { Log(LogLevel::kInfo, "call", {}); }), SizeIs(1));
}

}  // namespace
}  // namespace tokend::telemetry
