#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/audit/audit_log.h"
#include "daemon/audit/chain.h"
#include "daemon/audit/journal.h"
#include "daemon/audit/keys.h"
#include "daemon/audit/note_box.h"
#include "daemon/audit/stream.h"
#include "daemon/loop/event_loop.h"

namespace tokend::audit {

enum class Health { kWritable, kFaulted };

// What the log tells the daemon of itself, on the writer's thread; each may be empty and must not block.
struct Hooks {
  // The log can no longer, or can again, be written: `words` are the daemon's own, for logs.
  std::function<void(Health health, std::string_view words)> on_health = {};
  // A checkpoint is durable. Whoever keeps these elsewhere can tell a log that was cut off.
  std::function<void(std::uint64_t sequence, std::string_view prev)> on_checkpoint = {};
  // How long a batch took to become durable.
  std::function<void(std::chrono::nanoseconds)> on_durable = {};
};

// Tests have less time.
struct Timing {
  std::chrono::nanoseconds note_window = std::chrono::seconds(1);
  std::chrono::nanoseconds checkpoint = std::chrono::minutes(1);
  std::chrono::nanoseconds stall = std::chrono::seconds(2);
  std::chrono::nanoseconds retry = std::chrono::milliseconds(250);
  std::chrono::nanoseconds stop_bound = std::chrono::seconds(5);
};

// The audit log: a bounded inbox and one thread that drains it in batches, each of which becomes durable at
// once and is answered with one post to the loop. Where the journal fails, records that end an intent and
// notes are kept until it works again; all others fail at once, and so do those that come meanwhile.
class QueuedAuditLog final : public AuditLog {
 public:
  // Records that wait, and ends that intents have reserved.
  static constexpr std::size_t kMaxPlaces = 16384;
  static constexpr std::size_t kMaxBatchRecords = 1024;
  static constexpr std::size_t kMaxBatchBytes = std::size_t{1} << 20U;
  // Records from one checkpoint to the next, at most.
  static constexpr std::size_t kCheckpointEvery = 1000;

  struct Parts {
    std::unique_ptr<LogStore> store;  // under the journal; may be null
    std::unique_ptr<Journal> journal;
    std::unique_ptr<StreamCopy> copy;  // may be null
    Chain chain;
    Keys keys;
    std::size_t max_batch_bytes = kMaxBatchBytes;
  };

  QueuedAuditLog(Parts parts, loop::EventLoop& loop, Hooks hooks, Timing timing = {});
  // Stops.
  ~QueuedAuditLog() override;

  void Note(Record record) override;
  void Append(Record record, Done<std::uint64_t> done) override;

  // What records and checkpoints from here on are made with. Any thread.
  void UseKeys(Keys keys);

  // The fingerprint of the configuration, for records from here on that were not made by one. Any thread.
  void UseConfig(std::string fingerprint);

  // Whether records become durable: the last ones did, and none has been at it for longer than `stall`. Any
  // thread.
  bool healthy() const { return healthy_.load() && !Stalled(); }

  // Writes what waits, for at most `stop_bound`, answers everything and ends the thread. What comes later
  // fails. A system call on a device that hangs is waited for. Not on the loop thread; once is enough.
  void Stop();

  // The same, with one more record after all others. Says whether that is durable.
  Status Stop(Record last);

 protected:
  void Describe(const Token& token, Record& record) const override;
  void AppendReserved(Record record, Done<std::uint64_t> done) override;

 private:
  enum class Kind { kIntent, kEnd, kNote, kOther };
  struct Entry {
    Kind kind;
    Record record;
    Done<std::uint64_t> done;
  };
  struct Answer {
    Done<std::uint64_t> done;
    Result<std::uint64_t> result;
  };
  using SteadyTime = std::chrono::steady_clock::time_point;

  static std::size_t PlacesOf(Kind kind);
  bool Stalled() const;
  void Enqueue(Entry entry);
  void Refuse(Done<std::uint64_t> done);
  void Reply(std::vector<Answer> answers, std::size_t places);

  void Run();
  bool Wait();
  void Take();
  // What one batch writes: the first records of taken_, and checkpoints where they are due.
  struct Batch {
    std::string lines;
    std::size_t records = 0;        // of taken_
    std::vector<Head> checkpoints;  // their own numbers, and the hashes that they hold
    std::size_t since_checkpoint = 0;
  };
  enum class Begin { kWithRecords, kWithCheckpoint };
  Batch MakeBatch(Begin begin);
  void AddCheckpoint(Batch& batch);
  bool CheckpointIsDue() const;
  void KeepCheckpoints(const Batch& batch);
  std::shared_ptr<const Keys> CurrentKeys() const;
  void WriteBatch();
  void Break(const Status& status);
  bool Repair();
  void WriteLast();
  void Finish();
  bool OutOfTime();

  Parts parts_;
  loop::EventLoop& loop_;
  const Hooks hooks_;
  const Timing timing_;
  std::atomic<bool> healthy_{true};  // written by the writer, under the mutex
  // Since when the writer has been in a system call, by the steady clock; 0: it is not.
  std::atomic<SteadyTime::rep> writing_since_{0};

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Entry> inbox_;
  NoteBox notes_;
  std::optional<std::string> config_;  // until the writer has taken it over
  std::size_t places_ = 0;
  std::optional<SteadyTime> stop_by_;
  std::optional<Record> last_;  // until it is written
  bool finished_ = false;

  std::shared_ptr<const Keys> keys_;  // under the mutex

  // The writer's alone.
  std::size_t since_checkpoint_ = 0;         // records
  std::optional<SteadyTime> checkpoint_at_;  // where there are any
  std::deque<Entry> taken_;                  // in the order in which they will be written
  SteadyTime retry_at_{};
  SteadyTime repaired_at_{};
  std::thread thread_;
};

}  // namespace tokend::audit
