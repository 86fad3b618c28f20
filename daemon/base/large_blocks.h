#pragma once

#include <cstddef>
#include <memory_resource>

namespace tokend {

// Blocks of memory for much data that is freed together, such as all nodes of a document. A block of 2 MiB or
// more is a mapping of its own, in large pages where the system has them (transparent_hugepage): its first
// use takes hundreds of page faults fewer, and its end returns it to the system. Smaller blocks are malloc's.
// Any thread. Throws std::bad_alloc.
void* AllocateBlock(std::size_t size);
void FreeBlock(void* block, std::size_t size);

// The same as a resource, for std::pmr::monotonic_buffer_resource.
std::pmr::memory_resource& LargeBlocks();

}  // namespace tokend
