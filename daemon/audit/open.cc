#include "daemon/audit/open.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <type_traits>
#include <utility>

#include "daemon/base/failpoint.h"

namespace tokend::audit {
namespace {

constexpr char kDaemonStopped[] = "daemon_stopped";

bool KeepWaiting() { return false; }

// Turns the exception of a thread that cannot be started into an error: no exception leaves this folder.
// `start` returns a Result.
template <class Start>
std::invoke_result_t<Start> WithThread(Start start) {
  try {
    return start();
  } catch (const std::system_error&) {
    return absl::ResourceExhaustedError("the system allows no further thread for the audit log");
  }
}

Result<std::unique_ptr<QueuedAuditLog>> StartLog(QueuedAuditLog::Parts parts, OpenOptions& options,
                                                 loop::EventLoop& loop) {
  return WithThread([&]() -> Result<std::unique_ptr<QueuedAuditLog>> {
    return std::make_unique<QueuedAuditLog>(std::move(parts), loop, std::move(options.hooks), options.timing);
  });
}

// Finds the log's last gap, and notes in the lock file where the log itself is gone.
Result<std::optional<Gap>> LastGap(const History& history, RecordTime now, LogStore& store,
                                   FileJournal& journal) {
  Result<LogNote> note = ReadNote(store);
  if (!note.ok()) return note.status();
  const bool gone = history.head.sequence == 0 || (!history.open_exists && !history.replacing);
  if (note->begun && gone) {
    *note = {.begun = false, .lost_at = now};
    if (Status written = WriteNote(store, *note); !written.ok()) return written;
  }
  if (!note->begun) journal.NoteFirstLine({.begun = true, .lost_at = note->lost_at});
  std::optional<Gap> gap = history.gap;
  if (gap) gap->ends = std::min(gap->ends, now);
  if (note->lost_at && (!gap || *note->lost_at > gap->ends)) {
    gap = Gap{std::min(*note->lost_at, now), "a start found that the log of an earlier one was gone"};
  }
  return gap;
}

// Prepares the journal for appends, after what the files hold.
Status Resume(const History& history, FileJournal& journal, Chain& chain, StreamCopy* copy) {
  const std::uint64_t next = history.head.sequence + 1;
  const std::uint64_t first = history.open_first != 0 ? history.open_first : next;
  if (history.damage.empty()) {
    return history.open_exists ? journal.Continue(first, history.open_size) : journal.Start(next);
  }
  journal.Distrust(history.damage, first, history.open_size);
  const auto make_line = [&](std::string_view damage) {
    std::string line = chain.AddRecovered(damage);
    if (copy != nullptr) copy->Offer(line);
    return line;
  };
  return journal.Replace(make_line, next, KeepWaiting);
}

Record MakeEnd(const PastRequest& open) {
  const Record intent = ToRecord(open.texts.Read());
  Record end;
  end.set_event(event::kTokenUnknown);
  end.set_request_id(intent.request_id());
  end.set_intent(open.intent);
  end.set_resolves(open.resolves);
  end.set_trace(intent.trace());
  *end.mutable_caller() = intent.caller();
  *end.mutable_target() = intent.target();
  end.set_grant(intent.grant());
  end.set_reason(kDaemonStopped);
  return end;
}

// Ends the intents that the last process left without an end, and adds them to the past requests and to
// `ended`.
Status EndOpenIntents(History& history, RecordTime since, Journal& journal, Chain& chain, StreamCopy* copy,
                      PastRequests& ended) {
  std::string lines;
  std::uint64_t first = chain.head().sequence + 1;
  const auto flush = [&]() -> Status {
    if (lines.empty()) return absl::OkStatus();
    if (Status written = journal.Append(lines, first, KeepWaiting); !written.ok()) return written;
    if (copy != nullptr) copy->Offer(lines);
    lines.clear();
    first = chain.head().sequence + 1;
    return absl::OkStatus();
  };
  for (PastRequest& open : history.open_intents) {
    Record end = MakeEnd(open);
    lines += chain.Add(end);
    lines += '\n';
    open.ended_by = end.seq();
    ended.push_back(std::move(open));
    if (ended.back().time >= since) history.past.push_back(ended.back());
    if (lines.size() < QueuedAuditLog::kMaxBatchBytes) continue;
    if (Status flushed = flush(); !flushed.ok()) return flushed;
  }
  JoinIntents(history.past, history.recent);
  return flush();
}

}  // namespace

Result<Opened> OpenFileLog(std::unique_ptr<LogStore> store, const config::AuditFile& file,
                           std::unique_ptr<StreamCopy> copy, Keys keys, OpenOptions options,
                           loop::EventLoop& loop) {
  const LogNames names(file.path.substr(file.path.rfind('/') + 1));
  if (Status locked = store->Lock(); !locked.ok()) return locked;
  const RecordTime now = std::chrono::floor<std::chrono::microseconds>(loop.clock().WallNow());
  const RecordTime since = now - options.remember;
  Result<History> history = WithThread([&] { return ReadHistory(*store, names, since); });
  if (!history.ok()) return history.status();
  // Where there is no open file, this one shows that a crash came between, and goes when the next one is
  // made.
  if (history->open_exists && history->replacing) {
    if (Status removed = store->Remove(names.next()); !removed.ok()) return removed;
  }
  TOKEND_FAILPOINT("recovery.read", "");

  auto journal =
      std::make_unique<FileJournal>(*store, names, file.max_size, file.keep, options.keep_for, loop.clock());
  Result<std::optional<Gap>> gap = LastGap(*history, now, *store, *journal);
  if (!gap.ok()) return gap.status();
  if (!options.config_text.empty()) {
    if (Status kept = journal->KeepConfig(options.config, options.config_text); !kept.ok()) return kept;
    journal->UseConfig(options.config, std::exchange(options.config_text, {}));
  }
  TOKEND_FAILPOINT("recovery.config", "");
  Chain chain(history->head, options.config, loop.clock());
  if (Status resumed = Resume(*history, *journal, chain, copy.get()); !resumed.ok()) return resumed;
  TOKEND_FAILPOINT("recovery.taken", "");
  PastRequests ended;
  if (Status written = EndOpenIntents(*history, since, *journal, chain, copy.get(), ended); !written.ok()) {
    return written;
  }
  TOKEND_FAILPOINT("recovery.ended", "");

  QueuedAuditLog::Parts parts{
      std::move(store), std::move(journal),
      std::move(copy),  std::move(chain),
      std::move(keys),  std::min<std::uint64_t>(QueuedAuditLog::kMaxBatchBytes, file.max_size)};
  Result<std::unique_ptr<QueuedAuditLog>> log = StartLog(std::move(parts), options, loop);
  if (!log.ok()) return log.status();
  return Opened{*std::move(log), std::move(history->past), std::move(ended), *std::move(gap),
                std::max(history->latest - now, std::chrono::microseconds(0))};
}

Result<Opened> OpenAuditLog(const config::Audit& config, Keys keys, OpenOptions options,
                            loop::EventLoop& loop) {
  options.timing.stall = config.deadline;
  if (!config.file) {
    const auto now = std::chrono::floor<std::chrono::microseconds>(loop.clock().WallNow());
    QueuedAuditLog::Parts parts{nullptr, std::make_unique<StreamJournal>(STDOUT_FILENO), nullptr,
                                Chain(Head{}, options.config, loop.clock()), std::move(keys)};
    Result<std::unique_ptr<QueuedAuditLog>> log = StartLog(std::move(parts), options, loop);
    if (!log.ok()) return log.status();
    return Opened{*std::move(log), {}, {}, Gap{now, "standard output cannot be read back"}};
  }
  const std::size_t slash = config.file->path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : config.file->path.substr(0, std::max<std::size_t>(slash, 1));
  Result<std::unique_ptr<LogStore>> store = OpenFolder(folder, config.file->path.substr(slash + 1));
  if (!store.ok()) return store.status();
  std::unique_ptr<StreamCopy> copy;
  if (config.to_stdout) {
    Result<std::unique_ptr<StreamCopy>> started = WithThread(
        []() -> Result<std::unique_ptr<StreamCopy>> { return std::make_unique<StreamCopy>(STDOUT_FILENO); });
    if (!started.ok()) return started.status();
    copy = *std::move(started);
  }
  return OpenFileLog(*std::move(store), *config.file, std::move(copy), std::move(keys), std::move(options),
                     loop);
}

}  // namespace tokend::audit
