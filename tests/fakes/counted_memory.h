#pragma once

#include <cstdint>

// Counts the memory that operator new has allocated in this program. The allocator says how large each block
// is.
namespace tokend::fakes {

std::int64_t CountedBytes();

// The maximum of CountedBytes() since the last ForgetMostCountedBytes().
std::int64_t MostCountedBytes();
void ForgetMostCountedBytes();

}  // namespace tokend::fakes
