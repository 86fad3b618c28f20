#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
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
#include "daemon/audit/refusal.h"
#include "daemon/audit/stream.h"
#include "daemon/loop/event_loop.h"

namespace tokend::audit {

enum class Health { kWritable, kFaulted };

// What the log tells the daemon about itself. Called on the writer's thread: they must not block. Each may be
// empty.
struct Hooks {
  // The log can no longer be written, or can be written again. `words` says why, in the daemon's own words.
  std::function<void(Health health, std::string_view words)> on_health = {};
  // A checkpoint is durable. A copy of it, kept elsewhere, shows later whether the end of the log was cut
  // off.
  std::function<void(std::uint64_t sequence, std::string_view prev)> on_checkpoint = {};
  // The time that a batch took to become durable.
  std::function<void(std::chrono::nanoseconds)> on_durable = {};
};

// Tests use shorter times.
struct Timing {
  std::chrono::nanoseconds aggregation_window = std::chrono::seconds(1);  // of alike refusals
  std::chrono::nanoseconds checkpoint = std::chrono::minutes(1);    // from a record to the next checkpoint
  std::chrono::nanoseconds stall = std::chrono::seconds(2);         // a longer write counts as a fault
  std::chrono::nanoseconds retry = std::chrono::milliseconds(250);  // between repairs
  std::chrono::nanoseconds stop_bound = std::chrono::seconds(5);    // to write what waits at the end
  std::chrono::nanoseconds config_bound = std::chrono::seconds(5);  // to keep a configuration
};

// The audit log: a bounded inbox, and one thread that takes records from it in batches. A batch becomes
// durable by one write, and its callers are answered by one post to the loop. While the journal has a fault,
// the log keeps notes and records that end an intent until the journal works again; every other append fails
// at once.
class QueuedAuditLog final : public AuditLog {
 public:
  // Records that wait, and places that intents have reserved for their ends.
  static constexpr std::size_t kMaxPlaces = 16384;
  static constexpr std::size_t kMaxBatchRecords = 1024;
  static constexpr std::size_t kMaxBatchBytes = std::size_t{1} << 20U;
  // The greatest number of records between two checkpoints.
  static constexpr std::size_t kCheckpointEvery = 1000;

  struct Parts {
    std::unique_ptr<LogStore> store;  // used by the journal; may be null
    std::unique_ptr<Journal> journal;
    std::unique_ptr<StreamCopy> copy;  // may be null
    Chain chain;
    Keys keys;
    std::size_t max_batch_bytes = kMaxBatchBytes;
  };

  // Throws std::system_error where the system allows no further thread.
  QueuedAuditLog(Parts parts, loop::EventLoop& loop, Hooks hooks, Timing timing = {});
  // Calls Stop.
  ~QueuedAuditLog() override;

  void Note(Record record) override;
  void NoteRefusal(Record record, Allowance allowance) override;
  void Append(Record record, Done<std::uint64_t> done) override;

  // Sets the keys of all later records and checkpoints. Any thread.
  void UseKeys(Keys keys);

  // Keeps the text of a configuration durably beside the log. After that, all later records that name no
  // configuration have this fingerprint. Waits for at most `config_bound`; an error changes nothing. Any
  // thread but the loop's.
  Status UseConfig(std::string fingerprint, std::string text);

  // Whether records become durable: the last batch did, and no write has taken longer than `stall`. Any
  // thread.
  bool healthy() const { return healthy_.load() && !Stalled(); }

  // Writes what waits, for at most `stop_bound`, answers every append, and ends the thread. Later appends
  // fail. A system call on a device that hangs is waited for, however long it takes. Not on the loop thread.
  // Further calls do nothing.
  void Stop();

  // The same, with one last record after all others. The result says whether that record is durable.
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
  // The loop's thread destroys the entry, since that thread allocates the next record.
  struct Answer {
    Entry entry;
    Result<std::uint64_t> result;
  };
  // A configuration that UseConfig waits for.
  struct ConfigChange {
    std::string fingerprint;
    std::string text;
    std::optional<Status> result = std::nullopt;
    bool given_up = false;
  };
  using SteadyTime = std::chrono::steady_clock::time_point;

  // An intent takes a place for itself and one for its end, which then takes no further place.
  static std::size_t PlacesOf(Kind kind) { return kind == Kind::kIntent ? 2 : 1; }
  bool Stalled() const;
  void Enqueue(Entry entry, std::unique_lock<std::mutex>& lock);
  void Refuse(Done<std::uint64_t> done);
  void Reply(std::vector<Answer> answers, std::size_t places);

  void Run();
  bool Wait();
  void TakeConfig();
  void TakeInbox();
  void Take();
  // One batch: the first records of taken_, and checkpoints where they are due.
  struct Batch {
    std::string lines;
    std::size_t records = 0;        // of taken_
    std::vector<Head> checkpoints;  // each with its own number and the hash of the line before it
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
  std::atomic<bool> healthy_{true};  // set by the writer's thread alone, under the mutex
  // When the writer entered the system call that it is in (steady clock); 0: it is in none.
  std::atomic<SteadyTime::rep> writing_since_{0};

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::vector<Entry> inbox_;
  RefusalAggregator<Refusal> refusals_;
  std::shared_ptr<ConfigChange> config_;  // until the writer takes it
  std::condition_variable config_kept_;
  std::size_t places_ = 0;
  std::optional<SteadyTime> stop_by_;
  std::optional<Record> last_;  // the record of Stop, until it is durable
  bool finished_ = false;

  std::shared_ptr<const Keys> keys_;  // under the mutex

  // Used by the writer's thread alone.
  std::size_t since_checkpoint_ = 0;  // records since the last checkpoint
  std::optional<SteadyTime>
      checkpoint_at_;         // when the next one is due; nothing while there are no such records
  std::vector<Entry> taken_;  // from the inbox, in the order in which they will be written
  SteadyTime retry_at_{};
  SteadyTime repaired_at_{};
  std::thread thread_;
};

}  // namespace tokend::audit
