#include "daemon/telemetry/log.h"

#include <poll.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "daemon/base/form.h"
#include "daemon/base/thread.h"

namespace tokend::telemetry {
namespace {

// Lines that wait for standard error to be read; the next one drops the oldest.
constexpr std::size_t kMaxQueuedLines = 2048;
// A longer value is cut.
constexpr std::size_t kMaxValueBytes = 1024;
// How long StopLog waits for what is queued to be written.
constexpr std::chrono::seconds kStopWait{2};

std::string_view Name(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::kTrace:
      return "trace";
    case config::LogLevel::kDebug:
      return "debug";
    case config::LogLevel::kInfo:
      return "info";
    case config::LogLevel::kWarning:
      return "warning";
    case config::LogLevel::kError:
      return "error";
  }
  return "error";
}

// A JSON string (RFC 8259, section 7), valid whatever the bytes are: of text that is not UTF-8, every byte
// that is not ASCII becomes U+FFFD.
void AppendQuoted(std::string_view text, std::string& line) {
  const std::string_view cut = CutUtf8(text, kMaxValueBytes);
  const bool utf8 = Utf16Length(cut).has_value();
  line += '"';
  for (const char c : cut) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      line += "\\u00";
      line += Hex({&c, 1});
    } else if (byte >= 0x80 && !utf8) {
      line += "\\ufffd";
    } else {
      line += c;
    }
  }
  line += '"';
}

// Text that a value of the text format may be without quotes: nothing that ends, splits or hides it.
bool IsPlain(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@+*%,;()[]<>";
  return !text.empty() && text.size() <= kMaxValueBytes &&
         text.find_first_not_of(kPlain) == std::string_view::npos;
}

template <class Number>
void AppendNumber(Number number, std::string& line) {
  char digits[32];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
  line.append(digits, end);
}

void AppendValue(const LogField& field, config::LogFormat format, std::string& line) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    if (format == config::LogFormat::kText && IsPlain(*text)) {
      line += *text;
    } else {
      AppendQuoted(*text, line);
    }
  } else if (const auto* integer = std::get_if<std::int64_t>(&field.value)) {
    AppendNumber(*integer, line);
  } else if (const double number = std::get<double>(field.value); std::isfinite(number)) {
    AppendNumber(number, line);
  } else {
    line += "null";  // JSON has no other word for it
  }
}

std::string MakeLine(config::LogFormat format, config::LogLevel level, std::string_view event,
                     std::initializer_list<LogField> fields) {
  const bool json = format == config::LogFormat::kJson;
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  std::string line;
  line.reserve(256);
  if (json) {
    line.append(R"({"time":")").append(time);
    line.append(R"(","level":")").append(Name(level));
    line.append(R"(","event":)");
    AppendQuoted(event, line);
  } else {
    line.append(time)
        .append(" ")
        .append(absl::AsciiStrToUpper(std::string(Name(level))))
        .append(" ")
        .append(event);
  }
  for (const LogField& field : fields) {
    if (json) {
      line += ',';
      AppendQuoted(field.name, line);
      line += ':';
    } else {
      line.append(" ").append(field.name).append("=");
    }
    AppendValue(field, format, line);
  }
  line += json ? "}\n" : "\n";
  return line;
}

// Whether a line can be written without waiting for somebody to read.
bool WaitForRoom(int timeout_ms) {
  pollfd error{STDERR_FILENO, POLLOUT, 0};
  return poll(&error, 1, timeout_ms) > 0;
}

// Standard error that cannot be written to has nowhere to say so: the line is lost.
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

// Writes whole lines to standard error, on the log's thread alone, and says how many were lost since the
// last one.
class StandardErrorSink final : public spdlog::sinks::sink {
 public:
  explicit StandardErrorSink(config::LogFormat format) : format_(format) {}

  // Call before the first line. `queue` must outlive the log's thread.
  void Watch(spdlog::details::thread_pool* queue) { queue_ = queue; }

  void log(const spdlog::details::log_msg& message) override {
    const std::size_t dropped = queue_->overrun_counter();
    if (dropped != reported_) {
      Write(MakeLine(format_, config::LogLevel::kWarning, "log_lines_dropped",
                     {{"count", static_cast<std::int64_t>(dropped - reported_)}}));
      reported_ = dropped;
    }
    Write({message.payload.data(), message.payload.size()});
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  const config::LogFormat format_;
  spdlog::details::thread_pool* queue_ = nullptr;
  std::size_t reported_ = 0;
};

struct State {
  std::atomic<config::LogLevel> level{config::LogLevel::kInfo};
  std::atomic<config::LogFormat> format{config::LogFormat::kJson};

  std::mutex mutex;
  std::shared_ptr<spdlog::details::thread_pool> queue;
  std::shared_ptr<spdlog::async_logger> logger;
};

// Never destroyed: other libraries' threads may log until the process is gone.
State& TheState() {
  static auto* const state = new State;
  return *state;
}

}  // namespace

void StartLog(const config::Log& options) {
  State& state = TheState();
  state.level = options.level;
  state.format = options.format;

  const std::lock_guard lock(state.mutex);
  const auto sink = std::make_shared<StandardErrorSink>(options.format);
  state.queue =
      std::make_shared<spdlog::details::thread_pool>(kMaxQueuedLines, 1, [] { NameThisThread("log"); });
  sink->Watch(state.queue.get());
  state.logger = std::make_shared<spdlog::async_logger>("tokend", sink, state.queue,
                                                        spdlog::async_overflow_policy::overrun_oldest);
  // spdlog's own handler prints, and blocks where standard error does.
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
  }
  if (queue == nullptr) return;

  // The queue's destructor writes out all lines. Where nobody reads them it would take forever, so that is
  // left to a thread that ends with the process.
  const auto written = std::make_shared<std::promise<void>>();
  const std::future<void> done = written->get_future();
  StartThread("log-end", [queue = std::move(queue), logger = std::move(logger), written]() mutable {
    queue.reset();
    logger.reset();
    written->set_value();
  }).detach();
  done.wait_for(kStopWait);
}

void Log(config::LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  State& state = TheState();
  if (level < state.level.load(std::memory_order_relaxed)) return;
  const std::string line = MakeLine(state.format.load(std::memory_order_relaxed), level, event, fields);

  // Held while the line is queued, so that StopLog's thread is the one that ends the queue.
  const std::lock_guard lock(state.mutex);
  if (state.logger != nullptr) {
    state.logger->log(spdlog::level::info, spdlog::string_view_t(line));
  } else if (WaitForRoom(0)) {
    Write(line);
  }
}

}  // namespace tokend::telemetry
