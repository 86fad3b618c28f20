#pragma once

#include <cstdlib>

namespace tokend::fuzz {

// What must hold whatever the input is.
inline void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace tokend::fuzz
