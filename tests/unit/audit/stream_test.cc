#include "daemon/audit/stream.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include "daemon/audit/journal.h"
#include "daemon/audit/queued_audit_log.h"
#include "tests/unit/audit/audit_fixture.h"

namespace tokend::audit {
namespace {

class Pipe {
 public:
  Pipe() {
    EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0);
    fcntl(ends_[1], F_SETPIPE_SZ, 4096);
  }
  ~Pipe() {
    CloseReader();
    close(ends_[1]);
  }
  int writer() const { return ends_[1]; }
  void CloseReader() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }
  // Reads what the pipe holds now, or waits until it holds as much as was asked for.
  std::string Read(std::size_t wanted = 0) const {
    std::string text;
    pollfd readable = {ends_[0], POLLIN, 0};
    while (poll(&readable, 1, text.size() < wanted ? 30'000 : 0) == 1) {
      std::array<char, 4096> buffer;
      const ssize_t got = read(ends_[0], buffer.data(), buffer.size());
      if (got <= 0) break;
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  std::array<int, 2> ends_ = {-1, -1};
};

class StreamLogTest : public testing::Test {
 protected:
  void Open(int descriptor, Timing timing = {}) {
    QueuedAuditLog::Parts parts{
        nullptr, std::make_unique<StreamJournal>(descriptor), nullptr,
        Chain(Head{}, "0123456789abcdef", loop_.clock()),
        Keys{std::make_shared<const Fingerprinter>(Fingerprinter::WithNewKey()), nullptr}};
    log_ = std::make_unique<QueuedAuditLog>(std::move(parts), loop_, Hooks{}, timing);
  }
  void Append(const std::string& event, std::optional<Result<std::uint64_t>>& answer) {
    log_->Append(EventOf(event), [&](Result<std::uint64_t> result) { answer = std::move(result); });
  }

  fakes::HandCrankedLoop loop_;
  std::unique_ptr<QueuedAuditLog> log_;
};

TEST_F(StreamLogTest, IsDurableWhenEveryByteIsWritten) {
  const Pipe pipe;
  Open(pipe.writer());
  std::optional<Result<std::uint64_t>> answer;
  Append("x", answer);
  ASSERT_TRUE(loop_.RunUntil([&] { return answer.has_value(); }));
  EXPECT_EQ(**answer, 1U);
  log_.reset();
  const auto lines = LinesOf(pipe.Read());
  ExpectChained(lines);
  EXPECT_EQ(lines.size(), 1U);
}

TEST_F(StreamLogTest, WaitsForAReaderAndStopsWithoutOne) {
  const Pipe pipe;
  Timing timing;
  timing.stop_bound = std::chrono::milliseconds(50);
  Open(pipe.writer(), timing);
  int answered = 0;
  int failed = 0;
  for (int i = 0; i < 100; ++i) {
    log_->Append(EventOf("x"),
                 [&](const Result<std::uint64_t>& result) { ++(result.ok() ? answered : failed); });
  }
  const auto start = std::chrono::steady_clock::now();
  log_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  loop_.RunPending();
  EXPECT_EQ(answered + failed, 100);
  EXPECT_GT(failed, 0);
}

TEST_F(StreamLogTest, FailsWhereNobodyCanReadAndDoesNotDie) {
  Pipe pipe;
  pipe.CloseReader();
  Open(pipe.writer());
  std::optional<Result<std::uint64_t>> answer;
  Append("x", answer);
  ASSERT_TRUE(loop_.RunUntil([&] { return answer.has_value(); }));
  EXPECT_TRUE(absl::IsUnavailable(answer->status()));
  EXPECT_FALSE(log_->healthy());
}

TEST(StreamCopy, GivesWholeLinesToAReaderAndBlocksNobodyWithoutOne) {
  const Pipe pipe;
  const std::string line(999, 'x');
  {
    StreamCopy copy(pipe.writer());
    copy.Offer(line + "\n");
    EXPECT_EQ(pipe.Read(1000), line + "\n");
    for (int i = 0; i < 100'000; ++i) copy.Offer(line + "\n");
  }
  const std::string read = pipe.Read();
  EXPECT_FALSE(read.empty());
  for (std::size_t i = 999; i < read.size(); i += 1000) EXPECT_EQ(read[i], '\n');
}

}  // namespace
}  // namespace tokend::audit
