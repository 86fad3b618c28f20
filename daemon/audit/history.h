#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "daemon/audit/chain.h"
#include "daemon/audit/log_names.h"
#include "daemon/audit/log_store.h"
#include "daemon/audit/past_request.h"

namespace tokend::audit {

// A place in a log where records may be missing.
struct Gap {
  RecordTime ends;     // the time of the first record after it
  std::string detail;  // what is wrong there, in the daemon's own words
};

// What the files of a log hold.
struct History {
  Head head;
  RecordTime latest{};  // of the times in the file that holds the head
  // The last gap. It ends at RecordTime::max() where no record follows it. Nothing: the files that were read
  // have none.
  std::optional<Gap> gap;
  bool open_exists = false;
  bool replacing = false;        // a crash came between, while another file was to become the open one
  std::uint64_t open_first = 0;  // the open file's first sequence number; 0: the file has no line
  std::uint64_t open_size = 0;
  // Why the file that holds the head must be replaced by a new one, in the daemon's own words. Empty: the
  // file is intact, and lines may be appended to it.
  std::string damage;
  PastRequests open_intents;  // intents that no record ends, oldest first
  // Requests whose intent is from `since` or later, before JoinIntents.
  PastRequests past;
  std::uint64_t recent = std::numeric_limits<std::uint64_t>::max();  // for JoinIntents
};

// Reads the newest file, and then older files up to the one that holds a daemon.started (which comes after
// the end of every earlier intent) and lies before `since` with all its records: where the clock was once
// behind, a file that only begins before `since` does not end the search. Where a later file repeats sequence
// numbers, its lines count. Memory grows with the requests found, not with the lines read.
Result<History> ReadHistory(LogStore& store, const LogNames& names, RecordTime since);

}  // namespace tokend::audit
