#pragma once

#include "daemon/base/mint_outcome.h"
#include "daemon/upstream/central_calls.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

// What a call to a central tokend asks for.
enum class Purpose { kMint, kValidate };

// What one call to a central tokend came to.
struct CentralVerdict {
  enum class Kind {
    kSettled,  // a token, or the centre itself does not know whether there is one, or its answer is invalid
    kRefused,  // the centre says that the call created nothing
    kUnsent,   // the centre cannot have seen the call
    kLost,     // anything else: the centre may have seen the call
  };
  Kind kind = Kind::kUnsent;
  // Of the request, if this call were its only one.
  MintResult result;
};

// Judges an answer by its status, and an error by its details. Of the centre's texts only the subjects of its
// limits and the names of fields are kept, where they are short and printable. Pure.
CentralVerdict Judge(const CentralAnswer& answer, const MintRequest& request, Purpose purpose);

}  // namespace tokend::upstream
