#include "client/audit_verify.h"

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <utility>

#include "daemon/audit/events.h"
#include "daemon/audit/signature.h"
#include "daemon/base/sha256.h"

namespace tokend::client {
namespace {

// After a failed write to standard output, audit.recovered takes the place of at most one batch.
constexpr std::size_t kRememberedHashes = 2048;

const std::string& NoHash() {
  static const std::string none(64, '0');
  return none;
}

std::string Number(std::uint64_t number) { return std::to_string(number); }

// Checks one log.
class Walk {
 public:
  Walk(Anchors& anchors, const audit::Verifier* key) : anchors_(anchors), key_(key) {}

  void Take(const LogFiles::Line& line) {
    const audit::RecordView& record = *line.record;
    CheckAnchor(record);
    if (found_.broken) return TakeAfterBreak(record.seq);
    std::string hash = Sha256Hex(line.text);
    if (unlinked_) return BreakAtUnlinked(&record);
    if (found_.records > 0 && BeginsAgain(record)) Rewind(record.seq);
    CheckPlace(line, hash);
    if (found_.broken || unlinked_) return;
    if (!record.token.fingerprint.empty()) found_.fingerprints = true;
    if (found_.records++ == 0) found_.first = record.seq;
    found_.last = record.seq;
    hashes_[record.seq % kRememberedHashes] = hash;
    found_.head = std::move(hash);
    CheckSignature(record);
  }

  // The log has no further line.
  VerifiedLog End(const LogFiles::Log& log) {
    if (unlinked_) BreakAtUnlinked(nullptr);
    found_.files = log.files;
    if (log.fork) {
      SetBreak(log.fork->after, "forked", log.fork->one + " and " + log.fork->other + " go on differently");
    }
    if (log.damaged_end) {
      SetBreak(log.damaged_end->after + 1, "changed",
               "a line at the end of " + log.damaged_end->file + " is not a record");
    }
    if (key_ != nullptr && found_.checkpoints == 0) {
      SetBreak(found_.last, "bad signature", "no checkpoint is signed");
    }
    return std::move(found_);
  }

  // The number of the last record, behind a break too.
  std::uint64_t end() const { return end_; }

 private:
  void SetBreak(std::uint64_t seq, std::string what, std::string detail) {
    if (!found_.broken) found_.broken = Break{seq, std::move(what), std::move(detail)};
  }

  // Where a line was missing, it may come after a later one.
  void TakeAfterBreak(std::uint64_t seq) {
    Break& broken = *found_.broken;
    if (broken.what != "missing" || seq != broken.seq) return;
    broken.what = "reordered";
    broken.detail = "the line comes after a later one";
  }

  void CheckPlace(const LogFiles::Line& line, const std::string& hash) {
    const audit::RecordView& record = *line.record;
    const std::uint64_t seq = record.seq;
    const std::uint64_t expected = found_.last + 1;
    const bool first = found_.records == 0;
    if ((first ? line.damaged : line.skipped) > 0 && seq != expected) {
      SetBreak(first ? seq - 1 : expected, "changed", "a line in " + *line.file + " is not a record");
    } else if (first) {
      if (seq == 1 && record.prev != NoHash()) {
        SetBreak(1, "changed", "the prev of a log's first line must be 64 zeros");
      }
    } else if (seq < expected) {
      SetBreak(seq, "inserted", "another line has this number, or the line was moved");
    } else if (seq > expected) {
      SetBreak(expected, "missing",
               seq == expected + 1 ? "the line is missing"
                                   : "the lines up to " + Number(seq - 1) + " are missing");
    } else if (record.prev != found_.head) {
      unlinked_ = {seq, hash};
    }
  }

  // Either the line that does not fit or the line before it was changed. If the next line holds the hash of
  // the first, that one is intact.
  void BreakAtUnlinked(const audit::RecordView* next) {
    const auto [seq, hash] = *std::exchange(unlinked_, std::nullopt);
    if (next == nullptr) {
      SetBreak(seq - 1, "changed",
               "the next line, the last one, holds another hash of it; or that next line was changed");
    } else if (next->prev == hash) {
      SetBreak(seq - 1, "changed", "the next line holds another hash of it");
    } else {
      SetBreak(seq, "changed", "the line does not hold the hash of the line before it");
    }
  }

  // Standard output cannot take back lines. An audit.recovered with an earlier number replaces those from
  // that number on.
  bool BeginsAgain(const audit::RecordView& record) const {
    const std::uint64_t seq = record.seq;
    return record.event == audit::event::kAuditRecovered && seq > found_.first && seq <= found_.last &&
           found_.last - seq + 1 < kRememberedHashes && hashes_[(seq - 1) % kRememberedHashes] == record.prev;
  }

  void Rewind(std::uint64_t seq) {
    found_.records -= found_.last - seq + 1;
    found_.last = seq - 1;
    found_.head = hashes_[found_.last % kRememberedHashes];
  }

  void CheckSignature(const audit::RecordView& record) {
    if (key_ == nullptr) return;
    ++found_.unsigned_records;
    if (record.event != audit::event::kCheckpoint) return;
    if (record.signature.empty()) {
      if (found_.checkpoints > 0) SetBreak(record.seq, "bad signature", "the checkpoint has no signature");
      return;
    }
    if (!key_->Verifies(record.seq, record.prev, record.signature)) {
      return SetBreak(record.seq, "bad signature",
                      "the checkpoint was not signed by this key, or was changed");
    }
    ++found_.checkpoints;
    found_.last_checkpoint = record.seq;
    found_.unsigned_records = 0;
  }

  void CheckAnchor(const audit::RecordView& record) {
    end_ = record.seq;
    if (!anchors_.Find(record.seq, record.prev)) return;
    ++found_.anchors;
    found_.last_anchor = std::max(found_.last_anchor, record.seq);
  }

  Anchors& anchors_;
  const audit::Verifier* key_;
  VerifiedLog found_;
  std::uint64_t end_ = 0;
  std::optional<std::pair<std::uint64_t, std::string>> unlinked_;  // the line that does not fit, and its hash
  std::vector<std::string> hashes_ = std::vector<std::string>(kRememberedHashes);  // by number
};

// The results of all logs, and what they say of each other.
class Report {
 public:
  void Add(VerifiedLog log, std::uint64_t end, bool branch) {
    verified_.logs.push_back(std::move(log));
    ends_.push_back({end, branch});
  }

  Verified Finish(const VerifyOptions& options, const LogFiles& files) {
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      if (!ends_[i].branch) CheckBeginning(i, options.from_start);
    }
    CheckAnchors(options.anchors);
    for (VerifiedLog& log : verified_.logs) SayWhatWasNotChecked(log, options);
    verified_.notes = files.notes();
    return std::move(verified_);
  }

 private:
  struct Ending {
    std::uint64_t seq = 0;
    bool branch = false;
  };

  static void SetBreak(VerifiedLog& log, std::uint64_t seq, std::string what, std::string detail) {
    if (!log.broken) log.broken = Break{seq, std::move(what), std::move(detail)};
  }

  // A log that begins after seq 1 is whole as far as it goes, unless another one shows what came before it:
  // one that ends right before it, or files that one daemon wrote.
  void CheckBeginning(std::size_t index, bool from_start) {
    VerifiedLog& log = verified_.logs[index];
    if (log.first == 1) return;
    const std::optional<std::size_t> found = FindBefore(index);
    if (!found) {
      if (from_start) SetBreak(log, 1, "missing", "the log begins at seq " + Number(log.first));
      return;
    }
    VerifiedLog& before = verified_.logs[*found];
    const std::uint64_t end = ends_[*found].seq;
    if (end + 1 < log.first) {
      SetBreak(before, end + 1, "missing",
               "the lines up to " + Number(log.first - 1) + ", where " + log.files.front() + " begins");
    } else if (end >= log.first) {
      SetBreak(log, log.first, "changed", "the line does not continue " + before.files.back());
    } else if (!log.broken || log.broken->seq != log.first) {
      SetBreak(before, end, "changed", log.files.front() + " goes on and holds another hash of it");
    }
  }

  // A log in the same folder that ends right before this one, else the last one that the same daemon wrote.
  std::optional<std::size_t> FindBefore(std::size_t index) const {
    const VerifiedLog& log = verified_.logs[index];
    const std::filesystem::path name = LogNameOf(log.files.front());
    std::optional<std::size_t> found;
    std::tuple<bool, bool, std::uint64_t> best;
    for (std::size_t i = 0; i < verified_.logs.size(); ++i) {
      const VerifiedLog& other = verified_.logs[i];
      const std::filesystem::path other_name = LogNameOf(other.files.back());
      const bool in_one_folder = other_name.parent_path() == name.parent_path();
      const std::tuple rank(in_one_folder && ends_[i].seq + 1 == log.first, other_name == name, ends_[i].seq);
      const bool fits = other.first < log.first && (std::get<0>(rank) || std::get<1>(rank));
      if (fits && (!found || rank > best)) {
        found = i;
        best = rank;
      }
    }
    return found;
  }

  void CheckAnchors(const Anchors& anchors) {
    const std::vector<Anchors::Anchor> missing = anchors.Missing();
    if (verified_.logs.size() == 1 && !missing.empty()) {
      const auto& [seq, what, detail] = BreakOf(missing.front());
      return SetBreak(verified_.logs.front(), seq, what,
                      detail + (missing.size() == 1 ? ""
                                                    : ", and " + Number(missing.size() - 1) +
                                                          " further anchors do not hold"));
    }
    for (const Anchors::Anchor& anchor : missing) {
      verified_.unmet_anchors.push_back({anchor, BreakOf(anchor)});
    }
  }

  // Why an anchor does not hold in any log.
  Break BreakOf(const Anchors::Anchor& anchor) const {
    std::uint64_t first = verified_.logs.front().first;
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      first = std::min(first, verified_.logs[i].first);
      end = std::max(end, ends_[i].seq);
    }
    if (anchor.seq > end) return {end + 1, "cut off", "the anchor has seq " + Number(anchor.seq)};
    if (anchor.seq < first) return {anchor.seq, "missing", "the anchor's record comes before these files"};
    return {anchor.seq, "changed", "the anchor belongs to another log"};
  }

  static void SayWhatWasNotChecked(VerifiedLog& log, const VerifyOptions& options) {
    const auto say = [&log](std::string text) { log.not_checked.push_back(std::move(text)); };
    if (log.first > 1) say("what came before seq " + Number(log.first));
    if (log.fingerprints) say("fingerprints: audit find --token compares one token with them");
    if (log.unsigned_records > 0 && log.checkpoints > 0) {
      say("signatures of what came after seq " + Number(log.last_checkpoint) +
          ", the last signed checkpoint");
    }
    if (log.last_anchor != 0) {
      say("what came after seq " + Number(log.last_anchor) + ", the last anchor");
    } else {
      say("whether the end was cut off: no anchor holds in this log");
    }
    if (options.public_key_file.empty()) say("signatures: no public key was given");
  }

  Verified verified_;
  std::vector<Ending> ends_;
};

}  // namespace

bool Verified::intact() const {
  return unmet_anchors.empty() && std::none_of(logs.begin(), logs.end(),
                                               [](const VerifiedLog& log) { return log.broken.has_value(); });
}

Result<Verified> Verify(LogFiles& files, VerifyOptions options) {
  std::optional<audit::Verifier> key;
  if (!options.public_key_file.empty()) {
    Result<audit::Verifier> read = audit::Verifier::FromFile(options.public_key_file);
    if (!read.ok()) return read.status();
    key = *std::move(read);
  }
  Report report;
  std::optional<Walk> walk;
  std::size_t current = 0;
  const auto end_walk = [&] {
    const std::uint64_t end = walk->end();
    report.Add(walk->End(files.logs()[current]), end, files.logs()[current].branch);
  };
  while (true) {
    const auto line = files.Next();
    if (!line.ok()) return line.status();
    if (!line->has_value()) break;
    if (walk && (*line)->log != current) {
      end_walk();
      walk.reset();
    }
    if (!walk) walk.emplace(options.anchors, key ? &*key : nullptr);
    current = (*line)->log;
    walk->Take(**line);
  }
  if (walk) end_walk();
  return report.Finish(options, files);
}

}  // namespace tokend::client
