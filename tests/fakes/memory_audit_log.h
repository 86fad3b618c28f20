#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "daemon/audit/audit_log.h"
#include "daemon/loop/event_loop.h"

namespace tokend::fakes {

// An audit log whose disk the test controls. A record gets its number when it becomes durable. Only the
// test's thread may use it.
class MemoryAuditLog final : public audit::AuditLog {
 public:
  enum class Disk { kWorks, kHangs, kFails };

  explicit MemoryAuditLog(loop::EventLoop& loop) : loop_(loop) {}

  // Sets how the disk behaves from now on. A disk that works again first writes the records that it held
  // back.
  void SetDisk(Disk disk) {
    disk_ = disk;
    if (disk_ == Disk::kHangs) return;
    for (Pending& pending : std::exchange(held_, {})) Write(std::move(pending));
  }

  // Goes on after the records of an earlier run. Call it before the first record.
  void Continue(std::vector<audit::Record> durable) { durable_ = std::move(durable); }

  const std::vector<audit::Record>& durable() const { return durable_; }

  std::vector<std::string> events() const {
    std::vector<std::string> events;
    for (const audit::Record& record : durable_) events.push_back(record.event());
    return events;
  }

  void Note(audit::Record record) override { Take({std::move(record), nullptr, Room::kNone}); }

  void NoteRefusal(audit::Record record, Allowance /*allowance*/) override { Note(std::move(record)); }

  void Append(audit::Record record, Done<std::uint64_t> done) override {
    Take({std::move(record), std::move(done), Room::kNone});
  }

 protected:
  void Describe(const Token& token, audit::Record& record) const override {
    record.mutable_token()->set_id(token.id);
    record.mutable_token()->set_fingerprint("fingerprint of " + token.id);
  }

  void AppendReserved(audit::Record record, Done<std::uint64_t> done) override {
    Take({std::move(record), std::move(done), Room::kReserved});
  }

 private:
  enum class Room { kNone, kReserved };
  struct Pending {
    audit::Record record;
    Done<std::uint64_t> done;
    Room room;
  };

  void Take(Pending pending) {
    if (disk_ == Disk::kHangs) {
      held_.push_back(std::move(pending));
    } else {
      Write(std::move(pending));
    }
  }

  void Write(Pending pending) {
    if (disk_ == Disk::kFails) {
      if (pending.room == Room::kReserved) {
        held_.push_back(std::move(pending));  // a record that ends an intent is kept until it is written
      } else if (pending.done) {
        loop_.Post([done = std::move(pending.done)]() mutable { done(absl::UnavailableError("disk")); });
      }
      return;
    }
    pending.record.set_seq(durable_.size() + 1);
    durable_.push_back(std::move(pending.record));
    if (!pending.done) return;
    loop_.Post(
        [done = std::move(pending.done), sequence = durable_.back().seq()]() mutable { done(sequence); });
  }

  loop::EventLoop& loop_;
  Disk disk_ = Disk::kWorks;
  std::deque<Pending> held_;
  std::vector<audit::Record> durable_;
};

}  // namespace tokend::fakes
