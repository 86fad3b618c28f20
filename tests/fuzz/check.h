#pragma once

#include <cstdlib>

namespace tokend::fuzz {

// Ends the program if `holds` is false.
inline void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace tokend::fuzz
