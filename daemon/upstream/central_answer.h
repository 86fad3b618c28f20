#pragma once

#include "daemon/base/mint_outcome.h"
#include "daemon/upstream/central_calls.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

// What a call to a central tokend asks for.
enum class Purpose { kMint, kValidate };

// How one call to a central tokend ended.
struct CentralVerdict {
  enum class Kind {
    kSettled,  // a token, or the centre itself does not know whether there is one, or its answer is invalid
    kRefused,  // the centre says that the call created nothing
    kUnsent,   // the centre cannot have seen the call
    kLost,     // anything else: the centre may have seen the call
  };
  Kind kind = Kind::kUnsent;
  // The request's result, if this call is its only one.
  MintResult result;
};

// Judges an answer by its status, and an error by its details. It keeps only short printable texts of the
// centre: the subjects and descriptions of its limits, and the names and descriptions of fields. Pure.
CentralVerdict Judge(const CentralAnswer& answer, const MintRequest& request, Purpose purpose);

}  // namespace tokend::upstream
