#include "tests/fakes/counted_memory.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> counted{0};
std::atomic<std::int64_t> most_counted{0};

void* Allocate(std::size_t size) {
  void* const block = std::malloc(size == 0 ? 1 : size);
  if (block == nullptr) std::abort();
  const auto added = static_cast<std::int64_t>(malloc_usable_size(block));
  const std::int64_t now = counted.fetch_add(added, std::memory_order_relaxed) + added;
  if (now > most_counted.load(std::memory_order_relaxed)) most_counted.store(now, std::memory_order_relaxed);
  return block;
}

void Free(void* block) noexcept {
  counted.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return Allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void operator delete(void* block) noexcept { Free(block); }
void operator delete(void* block, std::size_t) noexcept { Free(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { Free(block); }

namespace tokend::fakes {

std::int64_t CountedBytes() { return counted.load(std::memory_order_relaxed); }
std::int64_t MostCountedBytes() { return most_counted.load(std::memory_order_relaxed); }
void ForgetMostCountedBytes() { most_counted.store(CountedBytes(), std::memory_order_relaxed); }

}  // namespace tokend::fakes
