#include "client/audit_verify.h"

#include "daemon/audit/audit_log.h"
#include "daemon/audit/signature.h"
#include "daemon/base/sha256.h"

namespace tokend::client {
namespace {

const std::string& NoHash() {
  static const std::string none(64, '0');
  return none;
}

class Walk {
 public:
  Walk(LogFiles& log, const VerifyOptions& options, std::optional<audit::Verifier> key)
      : log_(log), options_(options), key_(std::move(key)) {}

  Result<Verified> Run() {
    while (!found_.broken) {
      const auto line = log_.Next();
      if (!line.ok()) return line.status();
      if (!line->has_value()) break;
      if (Status status = Take(**line); !status.ok()) return status;
    }
    if (!found_.broken) CheckEnd();
    return found_;
  }

 private:
  Status Take(const LogFiles::Line& line) {
    const std::uint64_t expected = found_.records == 0 ? 0 : found_.last + 1;
    if (!line.record) {
      Break(expected != 0 ? expected : 1, "changed", "a line in " + *line.file + " is not a record");
      return absl::OkStatus();
    }
    const audit::v1::Record& record = *line.record;
    if (expected != 0 && record.seq() != expected) return TakeOutOfOrder(record.seq(), expected);
    if (expected == 0 && record.seq() == 1 && record.prev() != NoHash()) {
      Break(1, "changed", "the prev of a log's first line must be 64 zeros");
      return absl::OkStatus();
    }
    std::string hash = Sha256Hex(line.text);
    if (expected != 0 && record.prev() != found_.head) return TakeUnlinked(record.seq(), hash);
    if (found_.records == 0) found_.first = record.seq();
    ++found_.records;
    found_.last = record.seq();
    found_.head = std::move(hash);
    CheckSignature(record);
    CheckAnchor(record);
    return absl::OkStatus();
  }

  // Either this line is in the wrong place, or lines before it are missing.
  Status TakeOutOfOrder(std::uint64_t seq, std::uint64_t expected) {
    if (seq < expected) {
      Break(seq, "inserted", "another line has this number, or the line was moved");
      return absl::OkStatus();
    }
    while (true) {
      const auto line = log_.Next();
      if (!line.ok()) return line.status();
      if (!line->has_value()) break;
      if ((*line)->record && (*line)->record->seq() == expected) {
        Break(expected, "reordered", "the line comes after a later one");
        return absl::OkStatus();
      }
    }
    Break(expected, "missing",
          seq == expected + 1 ? "the line is missing"
                              : "the lines up to " + std::to_string(seq - 1) + " are missing");
    return absl::OkStatus();
  }

  // Either this line or the line before it was changed. If the next line holds this line's hash, this line is
  // intact.
  Status TakeUnlinked(std::uint64_t seq, const std::string& hash) {
    const auto next = log_.Next();
    if (!next.ok()) return next.status();
    const bool is_last = !next->has_value();
    const bool is_itself = !is_last && (*next)->record && (*next)->record->prev() == hash;
    if (is_itself) {
      Break(seq - 1, "changed", "the next line holds another hash of it");
    } else if (is_last) {
      Break(seq - 1, "changed",
            "the next line, the last one, holds another hash of it; or that next line was changed");
    } else {
      Break(seq, "changed", "the line does not hold the hash of the line before it");
    }
    return absl::OkStatus();
  }

  void CheckSignature(const audit::v1::Record& record) {
    if (!key_) return;
    ++found_.unsigned_records;
    if (record.event() != audit::event::kCheckpoint) return;
    if (record.signature().empty()) {
      if (found_.checkpoints > 0) Break(record.seq(), "bad signature", "the checkpoint has no signature");
      return;
    }
    if (!key_->Verifies(record.seq(), record.prev(), record.signature())) {
      return Break(record.seq(), "bad signature",
                   "the checkpoint was not signed by this key, or was changed");
    }
    ++found_.checkpoints;
    found_.unsigned_records = 0;
  }

  void CheckAnchor(const audit::v1::Record& record) {
    if (!options_.anchor || options_.anchor->first != record.seq()) return;
    anchored_ = true;
    if (options_.anchor->second != record.prev()) {
      Break(record.seq(), "changed", "the anchor belongs to another log");
    }
  }

  void CheckEnd() {
    if (options_.anchor && !anchored_) {
      const std::uint64_t seq = options_.anchor->first;
      if (seq > found_.last) {
        Break(found_.last + 1, "cut off", "the anchor has seq " + std::to_string(seq));
      } else {
        Break(seq, "missing", "the anchor's record comes before these files");
      }
    } else if (key_ && found_.checkpoints == 0) {
      Break(found_.last, "bad signature", "no checkpoint is signed");
    }
  }

  void Break(std::uint64_t seq, std::string what, std::string detail) {
    found_.broken = Verified::Break{seq, std::move(what), std::move(detail)};
  }

  LogFiles& log_;
  const VerifyOptions& options_;
  const std::optional<audit::Verifier> key_;
  Verified found_;
  bool anchored_ = false;
};

}  // namespace

Result<Verified> Verify(LogFiles& log, const VerifyOptions& options) {
  std::optional<audit::Verifier> key;
  if (!options.public_key_file.empty()) {
    Result<audit::Verifier> read = audit::Verifier::FromFile(options.public_key_file);
    if (!read.ok()) return read.status();
    key = *std::move(read);
  }
  return Walk(log, options, std::move(key)).Run();
}

}  // namespace tokend::client
