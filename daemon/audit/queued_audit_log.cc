#include "daemon/audit/queued_audit_log.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

#include "daemon/base/failpoint.h"
#include "daemon/base/thread.h"

namespace tokend::audit {
namespace {

Status NotDurable() { return absl::UnavailableError("the audit record cannot be made durable"); }

}  // namespace

QueuedAuditLog::QueuedAuditLog(Parts parts, loop::EventLoop& loop, Hooks hooks, Timing timing)
    : parts_(std::move(parts)),
      loop_(loop),
      hooks_(std::move(hooks)),
      timing_(timing),
      refusals_(timing.aggregation_window),
      keys_(std::make_shared<const Keys>(std::move(parts_.keys))),
      thread_(StartThread("audit", [this] { Run(); })) {}

QueuedAuditLog::~QueuedAuditLog() { Stop(); }

void QueuedAuditLog::Note(Record record) {
  std::unique_lock lock(mutex_);
  if (!finished_) Enqueue(Entry{Kind::kNote, std::move(record), nullptr}, lock);
}

void QueuedAuditLog::NoteRefusal(Record record, Allowance allowance) {
  std::unique_lock lock(mutex_);
  if (finished_) return;
  const bool first = !refusals_.due();
  refusals_.Add(Refusal(std::move(record), allowance), std::chrono::steady_clock::now());
  lock.unlock();
  if (first) work_.notify_one();
}

void QueuedAuditLog::Append(Record record, Done<std::uint64_t> done) {
  const Kind kind = RoleOf(record) == Event::Role::kIntent ? Kind::kIntent : Kind::kOther;
  {
    std::unique_lock lock(mutex_);
    if (!finished_ && healthy() && places_ + PlacesOf(kind) <= kMaxPlaces) {
      places_ += PlacesOf(kind);
      return Enqueue(Entry{kind, std::move(record), std::move(done)}, lock);
    }
  }
  Refuse(std::move(done));
}

void QueuedAuditLog::AppendReserved(Record record, Done<std::uint64_t> done) {
  {
    std::unique_lock lock(mutex_);
    if (!finished_) return Enqueue(Entry{Kind::kEnd, std::move(record), std::move(done)}, lock);
  }
  Refuse(std::move(done));
}

// Wakes the writer for the first entry alone: while entries wait in the inbox, the writer does not sleep for
// lack of work. Gives the lock back first, because the writer takes it as soon as it wakes.
void QueuedAuditLog::Enqueue(Entry entry, std::unique_lock<std::mutex>& lock) {
  const bool first = inbox_.empty();
  inbox_.push_back(std::move(entry));
  lock.unlock();
  if (first) work_.notify_one();
}

void QueuedAuditLog::UseKeys(Keys keys) {
  const std::lock_guard lock(mutex_);
  keys_ = std::make_shared<const Keys>(std::move(keys));
}

std::shared_ptr<const Keys> QueuedAuditLog::CurrentKeys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

Status QueuedAuditLog::UseConfig(std::string fingerprint, std::string text) {
  const auto change = std::make_shared<ConfigChange>(ConfigChange{std::move(fingerprint), std::move(text)});
  std::unique_lock lock(mutex_);
  if (finished_) return NotDurable();
  config_ = change;
  work_.notify_one();
  config_kept_.wait_for(lock, timing_.config_bound, [&change] { return change->result.has_value(); });
  if (change->result) return *change->result;
  change->given_up = true;
  if (config_ == change) config_.reset();
  return absl::DeadlineExceededError("the configuration cannot be kept beside the audit log in time");
}

// Before the batch whose records may be the first to name the configuration.
void QueuedAuditLog::TakeConfig() {
  std::shared_ptr<ConfigChange> change;
  {
    const std::lock_guard lock(mutex_);
    change = std::exchange(config_, nullptr);
  }
  if (change == nullptr) return;
  writing_since_ = std::chrono::steady_clock::now().time_since_epoch().count();
  Status kept = parts_.journal->KeepConfig(change->fingerprint, change->text);
  writing_since_ = 0;
  {
    const std::lock_guard lock(mutex_);
    if (change->given_up) return;
    change->result = kept;
    config_kept_.notify_all();
  }
  if (!kept.ok()) return;
  parts_.journal->UseConfig(change->fingerprint, std::exchange(change->text, {}));
  parts_.chain.UseConfig(change->fingerprint);
}

void QueuedAuditLog::Describe(const Token& token, Record& record) const {
  const std::shared_ptr<const Fingerprinter> fingerprinter = CurrentKeys()->fingerprinter;
  v1::Token& described = *record.mutable_token();
  described.set_id(token.id);
  described.set_organization(token.organization);
  described.set_application(token.application);
  described.set_fingerprint(fingerprinter->Of(token.bearer));
  described.set_fingerprint_key(fingerprinter->KeyName());
}

void QueuedAuditLog::Stop() {
  {
    const std::lock_guard lock(mutex_);
    if (!stop_by_) stop_by_ = std::chrono::steady_clock::now() + timing_.stop_bound;
    work_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

Status QueuedAuditLog::Stop(Record last) {
  {
    const std::lock_guard lock(mutex_);
    last_ = std::move(last);
  }
  Stop();
  return last_ ? NotDurable() : absl::OkStatus();
}

// A write to a device that hangs does not fail, it only takes very long.
bool QueuedAuditLog::Stalled() const {
  const SteadyTime::rep since = writing_since_;
  return since != 0 && std::chrono::steady_clock::now().time_since_epoch().count() - since >
                           std::chrono::duration_cast<SteadyTime::duration>(timing_.stall).count();
}

void QueuedAuditLog::Refuse(Done<std::uint64_t> done) {
  loop_.Post([done = std::move(done)]() mutable { done(NotDurable()); });
}

void QueuedAuditLog::Reply(std::vector<Answer> answers, std::size_t places) {
  {
    const std::lock_guard lock(mutex_);
    assert(places <= places_);
    places_ -= places;
  }
  if (answers.empty()) return;
  loop_.Post([answers = std::move(answers)]() mutable {
    for (Answer& answer : answers) answer.entry.done(std::move(answer.result));
  });
}

void QueuedAuditLog::Run() {
  while (Wait()) {
    if (!healthy_ && !Repair()) continue;
    TakeConfig();
    Take();
    if (!taken_.empty() || CheckpointIsDue()) WriteBatch();
  }
  WriteLast();
  Finish();
}

// Waits until there is work. Returns false once the log stops and everything is written or its time is up.
bool QueuedAuditLog::Wait() {
  std::unique_lock lock(mutex_);
  while (true) {
    const SteadyTime now = std::chrono::steady_clock::now();
    const bool queued = !taken_.empty() || !inbox_.empty() || config_ != nullptr;
    if (stop_by_ && (now >= *stop_by_ || (!queued && !refusals_.due()))) return false;
    if (healthy_ && (queued || stop_by_)) return true;
    std::optional<SteadyTime> until = healthy_ ? refusals_.due() : std::optional(retry_at_);
    if (healthy_ && checkpoint_at_) until = std::min(*checkpoint_at_, until.value_or(SteadyTime::max()));
    if (until && *until <= now) return true;
    if (stop_by_) until = std::min(*stop_by_, until.value_or(SteadyTime::max()));
    if (until) {
      work_.wait_until(lock, *until);
    } else {
      work_.wait(lock);
    }
  }
}

void QueuedAuditLog::TakeInbox() {
  std::move(inbox_.begin(), inbox_.end(), std::back_inserter(taken_));
  inbox_.clear();
}

void QueuedAuditLog::Take() {
  const std::lock_guard lock(mutex_);
  if (taken_.empty()) {
    taken_.swap(inbox_);  // both keep their memory
  } else {
    TakeInbox();
  }
  for (auto& [refusal, count] :
       stop_by_ ? refusals_.TakeAll() : refusals_.TakeDue(std::chrono::steady_clock::now())) {
    taken_.push_back(Entry{Kind::kNote, std::move(refusal).Take(count), nullptr});
  }
}

bool QueuedAuditLog::CheckpointIsDue() const {
  return checkpoint_at_ && *checkpoint_at_ <= std::chrono::steady_clock::now();
}

void QueuedAuditLog::AddCheckpoint(Batch& batch) {
  Record record;
  record.set_event(event::kCheckpoint);
  const Head before = parts_.chain.head();
  if (const auto signer = CurrentKeys()->signer) {
    record.set_signature(signer->Sign(before.sequence + 1, before.hash));
  }
  batch.lines += parts_.chain.Add(record) + '\n';
  batch.checkpoints.push_back({record.seq(), before.hash});
  batch.since_checkpoint = 0;
}

QueuedAuditLog::Batch QueuedAuditLog::MakeBatch(Begin begin) {
  Batch batch;
  batch.since_checkpoint = since_checkpoint_;
  if (begin == Begin::kWithCheckpoint) AddCheckpoint(batch);
  while (batch.records < taken_.size() && batch.records < kMaxBatchRecords) {
    const Head head = parts_.chain.head();
    const std::string line = parts_.chain.Add(taken_[batch.records].record) + '\n';
    if (batch.records > 0 && batch.lines.size() + line.size() > parts_.max_batch_bytes) {
      parts_.chain.Rewind(head);
      break;
    }
    batch.lines += line;
    ++batch.records;
    if (++batch.since_checkpoint >= kCheckpointEvery) AddCheckpoint(batch);
  }
  return batch;
}

void QueuedAuditLog::WriteBatch() {
  const Head before = parts_.chain.head();
  Batch batch = MakeBatch(CheckpointIsDue() ? Begin::kWithCheckpoint : Begin::kWithRecords);
  // A new file begins with a checkpoint, which holds the hash of the closed file's last line.
  if (before.sequence > 0 && batch.checkpoints.empty() && parts_.journal->BeginsFile(batch.lines.size())) {
    parts_.chain.Rewind(before);
    batch = MakeBatch(Begin::kWithCheckpoint);
  }
  const SteadyTime start = std::chrono::steady_clock::now();
  writing_since_ = start.time_since_epoch().count();
  const Status status =
      parts_.journal->Append(batch.lines, before.sequence + 1, [this] { return OutOfTime(); });
  writing_since_ = 0;
  if (!status.ok()) {
    parts_.chain.Rewind(before);
    return Break(status);
  }
  if (hooks_.on_durable) hooks_.on_durable(std::chrono::steady_clock::now() - start);
  if (parts_.copy) parts_.copy->Offer(batch.lines);

  std::vector<Answer> answers;
  answers.reserve(batch.records);
  for (std::size_t i = 0; i < batch.records; ++i) {
    Entry& entry = taken_[i];
    const std::uint64_t sequence = entry.record.seq();
    if (entry.kind != Kind::kNote) answers.push_back(Answer{std::move(entry), sequence});
  }
  const std::size_t places = answers.size();  // an intent keeps the place of its end
  taken_.erase(taken_.begin(), taken_.begin() + static_cast<std::ptrdiff_t>(batch.records));
  if (taken_.empty() && taken_.capacity() > kMaxBatchRecords) taken_.shrink_to_fit();
  TOKEND_FAILPOINT("durable", batch.lines);
  Reply(std::move(answers), places);
  TOKEND_FAILPOINT("told", batch.lines);
  KeepCheckpoints(batch);
  parts_.journal->Tidy();
}

void QueuedAuditLog::KeepCheckpoints(const Batch& batch) {
  since_checkpoint_ = batch.since_checkpoint;
  if (since_checkpoint_ == 0) {
    checkpoint_at_.reset();
  } else if (!checkpoint_at_ || !batch.checkpoints.empty()) {
    checkpoint_at_ = std::chrono::steady_clock::now() + timing_.checkpoint;
  }
  if (!hooks_.on_checkpoint) return;
  for (const Head& checkpoint : batch.checkpoints) hooks_.on_checkpoint(checkpoint.sequence, checkpoint.hash);
}

// An intent must be ended whatever the disk does, so ends are kept, and so are notes. All other appends fail.
void QueuedAuditLog::Break(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    healthy_ = false;
    TakeInbox();
  }
  if (hooks_.on_health) hooks_.on_health(Health::kFaulted, std::string(status.message()));
  std::vector<Entry> kept;
  std::vector<Answer> failed;
  std::size_t places = 0;
  for (Entry& entry : taken_) {
    if (entry.kind == Kind::kEnd || entry.kind == Kind::kNote) {
      kept.push_back(std::move(entry));
    } else {
      places += PlacesOf(entry.kind);
      failed.push_back(Answer{std::move(entry), NotDurable()});
    }
  }
  taken_ = std::move(kept);
  // The repair comes before the answers: where it succeeds, the records of failed appends are not part of the
  // log. Each repair creates a file, so it waits where the last one was a moment ago.
  const SteadyTime now = std::chrono::steady_clock::now();
  if (repaired_at_ + timing_.retry <= now) {
    Repair();
  } else {
    retry_at_ = now + timing_.retry;
  }
  Reply(std::move(failed), places);
}

bool QueuedAuditLog::Repair() {
  const Head before = parts_.chain.head();
  std::string line;
  const auto make_line = [&](std::string_view damage) { return line = parts_.chain.AddRecovered(damage); };
  const Status status =
      parts_.journal->Replace(make_line, before.sequence + 1, [this] { return OutOfTime(); });
  if (!status.ok()) {
    parts_.chain.Rewind(before);
    retry_at_ = std::chrono::steady_clock::now() + timing_.retry;
    return false;
  }
  repaired_at_ = std::chrono::steady_clock::now();
  ++since_checkpoint_;
  if (!checkpoint_at_) checkpoint_at_ = repaired_at_ + timing_.checkpoint;
  if (parts_.copy) parts_.copy->Offer(line);
  {
    const std::lock_guard lock(mutex_);
    healthy_ = true;
  }
  if (hooks_.on_health) hooks_.on_health(Health::kWritable, "the audit log is writable again");
  return true;
}

void QueuedAuditLog::WriteLast() {
  if (!last_ || !healthy_ || !taken_.empty()) return;
  taken_.push_back(Entry{Kind::kNote, *last_, nullptr});
  WriteBatch();
  if (!taken_.empty()) return;
  last_.reset();
  if (since_checkpoint_ == 0 || !healthy_) return;
  checkpoint_at_ = SteadyTime::min();  // due at once: the log ends with a checkpoint
  WriteBatch();
}

void QueuedAuditLog::Finish() {
  parts_.journal->Close();
  std::vector<Answer> failed;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    healthy_ = false;
    if (config_ != nullptr) {
      config_->result = NotDurable();
      config_kept_.notify_all();
    }
    TakeInbox();
  }
  for (Entry& entry : taken_) {
    if (entry.kind != Kind::kNote) failed.push_back(Answer{std::move(entry), NotDurable()});
  }
  taken_.clear();
  Reply(std::move(failed), 0);
}

bool QueuedAuditLog::OutOfTime() {
  const std::lock_guard lock(mutex_);
  return stop_by_ && std::chrono::steady_clock::now() >= *stop_by_;
}

}  // namespace tokend::audit
