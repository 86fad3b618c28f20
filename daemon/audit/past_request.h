#pragma once

#include <cstdint>
#include <deque>

#include "daemon/audit/record_view.h"
#include "daemon/base/packed_texts.h"

namespace tokend::audit {

// The texts of a token.intended that the log is asked for after a restart.
class IntentTexts {
 public:
  explicit IntentTexts(const RecordView& intent);

  // Returns the request_id, caller, digest, trace, target and grant. The other fields are empty. The texts
  // are valid as long as this object is there and does not move.
  RecordView Read() const;

 private:
  PackedTexts texts_;
};

// A request whose token was created, or may have been. After a restart the request ledger learns its
// request_id again.
struct PastRequest {
  IntentTexts texts;           // without a digest where an earlier version wrote them
  RecordTime time;             // of its first intent
  std::uint64_t intent = 0;    // sequence number of that intent
  std::uint64_t ended_by = 0;  // sequence number of the record that ended its last intent; 0: none has
  std::uint64_t resolves = 0;  // as in the record; 0 after JoinIntents
};

// Requests are many, and come one by one: a vector of them would be copied as it grows.
using PastRequests = std::deque<PastRequest>;

PastRequest MakePastRequest(const RecordView& intent, std::uint64_t ended_by = 0);

// Sorts requests by their intents, and joins the requests of one request_id that a relay asked again: the
// joined request has the time of the first intent, from which the request_id is remembered. A first
// intent that is not among the requests was refused late, or is older than `recent`. In the second case the
// request_id is left out. `recent`: the lowest sequence number of the records that are young enough.
void JoinIntents(PastRequests& past, std::uint64_t recent);

}  // namespace tokend::audit
