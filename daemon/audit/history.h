#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/audit/chain.h"
#include "daemon/audit/log_names.h"
#include "daemon/audit/log_store.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// A request whose token was, or may have been, created: what the request ledger must know again.
struct PastRequest {
  enum class End { kIssued, kWithheld, kUnknown };

  std::string request_id;
  std::string caller;
  std::string organization;
  std::string application;
  std::vector<std::string> scopes;
  std::string description;
  RecordTime time;           // of its intent
  std::uint64_t intent = 0;  // that record's sequence number
  End end = End::kUnknown;
  std::uint64_t ended_by = 0;  // the sequence number of the record that ended it
};

PastRequest MakePastRequest(const v1::Record& intent, PastRequest::End end, std::uint64_t ended_by);

// What the files of a log say.
struct History {
  Head head;
  bool open_exists = false;
  std::uint64_t open_first = 0;  // the open file's first sequence number, 0 where it has no line
  std::uint64_t open_size = 0;
  // Why nothing may be appended to the file that holds the head, and a new one must be opened: the daemon's
  // own words. Empty where it is sound.
  std::string damage;
  std::vector<v1::Record> open_intents;  // each token.intended without its end, oldest first
  std::vector<PastRequest> past;         // whose intent is not older than `since`, oldest first
};

// Reads the newest file, and older ones as far back as an intent may be open (all were ended by the last
// daemon.started) or not older than `since`. Lines that a later file begins again are not part of the log.
// Takes constant memory a line.
Result<History> ReadHistory(LogStore& store, const LogNames& names, RecordTime since);

}  // namespace tokend::audit
