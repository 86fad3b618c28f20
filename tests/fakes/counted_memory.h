#pragma once

#include <cstdint>

// What is allocated by operator new in this program, by the allocator's own word of how large each block is.
namespace tokend::fakes {

std::int64_t CountedBytes();

// The most at a time since it was last forgotten.
std::int64_t MostCountedBytes();
void ForgetMostCountedBytes();

}  // namespace tokend::fakes
