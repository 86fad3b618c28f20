#include "daemon/telemetry/log.h"

#include <poll.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/base/form.h"
#include "daemon/base/json.h"
#include "daemon/base/thread.h"

namespace tokend::telemetry {
namespace {

// Lines that wait while standard error is not read. A further line drops the oldest.
constexpr std::size_t kMaxQueuedLines = 2048;
// When so many lines are queued, they are written without waiting for more.
constexpr std::size_t kMaxGatheredLines = kMaxQueuedLines / 4;
// What most lines need.
constexpr std::size_t kLikelyLineBytes = 512;
// Longer values are cut.
constexpr std::size_t kMaxValueBytes = 1024;
// The longest time that StopLog waits for the queued lines to be written.
constexpr std::chrono::seconds kStopWait{2};

constexpr std::string_view kLevelNames[] = {"trace", "debug", "info", "warning", "error"};

constexpr std::string_view Name(config::LogLevel level) {
  return kLevelNames[static_cast<std::size_t>(level)];
}
static_assert(Name(config::LogLevel::kTrace) == "trace" && Name(config::LogLevel::kError) == "error");

// Whether the text format may show the text without quotes: then no character ends the value or hides a part
// of it.
bool IsPlain(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@+*%,;()[]<>";
  return !text.empty() && text.size() <= kMaxValueBytes &&
         text.find_first_not_of(kPlain) == std::string_view::npos;
}

std::string_view Cut(std::string_view text) { return CutUtf8(text, kMaxValueBytes); }
std::int64_t Cut(std::int64_t number) { return number; }
double Cut(double number) { return number; }

std::string JsonLine(std::string_view time, config::LogLevel level, std::string_view event,
                     std::span<const LogField> fields) {
  std::string line;
  line.reserve(kLikelyLineBytes);
  JsonObject object(line);
  object.Member("time", time);
  object.Member("level", Name(level));
  object.Member("event", event);
  for (const LogField& field : fields) {
    std::visit([&](const auto& value) { object.Member(field.name, Cut(value)); }, field.value);
  }
  object.End();
  line += '\n';
  return line;
}

std::string TextLine(std::string_view time, config::LogLevel level, std::string_view event,
                     std::span<const LogField> fields) {
  std::string line(time);
  line.append(" ").append(absl::AsciiStrToUpper(std::string(Name(level)))).append(" ").append(event);
  for (const LogField& field : fields) {
    line.append(" ").append(field.name).append("=");
    const auto* text = std::get_if<std::string_view>(&field.value);
    if (text != nullptr && IsPlain(*text)) {
      line += *text;
    } else {
      std::visit([&line](const auto& value) { AppendJson(Cut(value), line); }, field.value);
    }
  }
  return line + '\n';
}

std::string MakeLine(config::LogFormat format, config::LogLevel level, std::string_view event,
                     std::span<const LogField> fields) {
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  return format == config::LogFormat::kJson ? JsonLine(time, level, event, fields)
                                            : TextLine(time, level, event, fields);
}

// Whether standard error takes a line within the time.
bool WaitForRoom(int timeout_ms) {
  pollfd error{STDERR_FILENO, POLLOUT, 0};
  return poll(&error, 1, timeout_ms) > 0;
}

// Loses the line where standard error cannot be written to.
void Write(std::string_view line) {
  while (!line.empty()) {
    const ssize_t count = write(STDERR_FILENO, line.data(), line.size());
    if (count > 0) {
      line.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      WaitForRoom(-1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

// The wait of the log's thread for further lines.
class Gathering {
 public:
  explicit Gathering(std::chrono::milliseconds longest) : longest_(longest) {}

  // Waits until the time is up, or Hurry has been called since the last wait. The log's thread.
  void Wait() {
    std::unique_lock lock(mutex_);
    hurried_.wait_for(lock, longest_, [this] { return hurry_ || stopped_; });
    hurry_ = false;
  }

  // Ends the wait, or the next one. Any thread.
  void Hurry() { Set(hurry_); }

  // Ends all waits from now on.
  void Stop() { Set(stopped_); }

 private:
  void Set(bool& flag) {
    {
      const std::lock_guard lock(mutex_);
      flag = true;
    }
    hurried_.notify_one();
  }

  const std::chrono::milliseconds longest_;
  std::mutex mutex_;
  std::condition_variable hurried_;
  bool hurry_ = false;
  bool stopped_ = false;
};

// Spdlog's level of a message only marks when the line is written. The line names its own level.
constexpr auto kAtOnce = spdlog::level::warn;
constexpr auto kGathered = spdlog::level::info;

// Writes whole lines to standard error, on the log's thread alone. Before a line it says how many lines were
// dropped. While it waits for further lines they queue up, and queueing a line wakes no thread.
class StandardErrorSink final : public spdlog::sinks::sink {
 public:
  // `queue` must outlive the log's thread.
  StandardErrorSink(config::LogFormat format, spdlog::details::thread_pool& queue,
                    std::shared_ptr<Gathering> gathering)
      : format_(format), queue_(queue), gathering_(std::move(gathering)) {}
  ~StandardErrorSink() override { WriteBatch(); }

  void log(const spdlog::details::log_msg& message) override {
    const std::size_t dropped = queue_.overrun_counter();
    if (dropped != reported_) {
      const LogField count{"count", static_cast<std::int64_t>(dropped - reported_)};
      Add(MakeLine(format_, config::LogLevel::kWarning, "log_lines_dropped", std::span(&count, 1)));
      reported_ = dropped;
    }
    Add({message.payload.data(), message.payload.size()});
    if (left_ > 0) {
      --left_;
    } else if (message.level == kGathered) {
      gathering_->Wait();
      left_ = queue_.queue_size();
    }
    if (left_ == 0 || message.level == kAtOnce) WriteBatch();
  }
  void flush() override { WriteBatch(); }
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  // A pipe takes up to PIPE_BUF bytes as a whole, so lines stay whole beside those of other processes.
  void Add(std::string_view line) {
    if (batch_.size() + line.size() > PIPE_BUF) WriteBatch();
    batch_ += line;
  }

  void WriteBatch() {
    Write(batch_);
    batch_.clear();
  }

  const config::LogFormat format_;
  spdlog::details::thread_pool& queue_;
  const std::shared_ptr<Gathering> gathering_;
  std::size_t reported_ = 0;
  std::string batch_;
  std::size_t left_ = 0;  // lines that were queued when the last wait ended, and belong to the batch
};

struct State {
  std::atomic<config::LogLevel> level{config::LogLevel::kInfo};
  std::atomic<config::LogFormat> format{config::LogFormat::kJson};

  std::mutex mutex;
  std::shared_ptr<spdlog::details::thread_pool> queue;
  std::shared_ptr<Gathering> gathering;
  std::shared_ptr<spdlog::async_logger> logger;
};

// Never destroyed, because threads of libraries may log until the process ends.
State& TheState() {
  static auto* const state = new State;
  return *state;
}

void QueueLine(config::LogLevel level, std::string_view event, std::span<const LogField> fields,
               spdlog::level::level_enum when) {
  State& state = TheState();
  if (level < state.level.load(std::memory_order_relaxed)) return;
  const std::string line = MakeLine(state.format.load(std::memory_order_relaxed), level, event, fields);

  // Held while the line is queued, so that the queue is destroyed by StopLog's thread and never by this one.
  const std::lock_guard lock(state.mutex);
  if (state.logger != nullptr) {
    state.logger->log(when, spdlog::string_view_t(line));
    if (when == kAtOnce || state.queue->queue_size() >= kMaxGatheredLines) state.gathering->Hurry();
  } else if (WaitForRoom(0)) {
    Write(line);
  }
}

}  // namespace

void StartLog(const config::Log& options, std::chrono::milliseconds gather_time) {
  State& state = TheState();
  state.level = options.level;
  state.format = options.format;

  const std::lock_guard lock(state.mutex);
  try {
    state.queue =
        std::make_shared<spdlog::details::thread_pool>(kMaxQueuedLines, 1, [] { NameThisThread("log"); });
  } catch (const std::system_error&) {
    return;
  }
  state.gathering = std::make_shared<Gathering>(gather_time);
  const auto sink = std::make_shared<StandardErrorSink>(options.format, *state.queue, state.gathering);
  state.logger = std::make_shared<spdlog::async_logger>("tokend", sink, state.queue,
                                                        spdlog::async_overflow_policy::overrun_oldest);
  // The handler that spdlog has by default writes to standard error, and may block there.
  state.logger->set_error_handler([](const std::string&) {});
}

void SetLogLevel(config::LogLevel level) { TheState().level = level; }

void StopLog() {
  State& state = TheState();
  std::shared_ptr<spdlog::details::thread_pool> queue;
  std::shared_ptr<spdlog::async_logger> logger;
  {
    const std::lock_guard lock(state.mutex);
    queue.swap(state.queue);
    logger.swap(state.logger);
    if (queue == nullptr) return;
    state.gathering->Stop();
  }

  // The queue's destructor waits until all lines are written, however long that takes. A thread that ends
  // with the process at the latest runs it; where there is none, the queue is not destroyed.
  auto* const last = new std::pair(std::move(logger), std::move(queue));
  const auto written = std::make_shared<std::promise<void>>();
  const std::future<void> done = written->get_future();
  try {
    StartThread("log-end", [last, written] {
      delete last;
      written->set_value();
    }).detach();
  } catch (const std::system_error&) {
    return;
  }
  done.wait_for(kStopWait);
}

void Log(config::LogLevel level, std::string_view event, std::span<const LogField> fields) {
  QueueLine(level, event, fields, kAtOnce);
}

void LogGathered(config::LogLevel level, std::string_view event, std::span<const LogField> fields) {
  QueueLine(level, event, fields, kGathered);
}

}  // namespace tokend::telemetry
