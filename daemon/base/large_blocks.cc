#include "daemon/base/large_blocks.h"

#include <sys/mman.h>

#include <cassert>
#include <new>

namespace tokend {
namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20;

constexpr std::size_t MappedSize(std::size_t size) {
  return (size + kLargePage - 1) / kLargePage * kLargePage;
}

class Resource final : public std::pmr::memory_resource {
  void* do_allocate(std::size_t size, [[maybe_unused]] std::size_t alignment) override {
    assert(alignment <= alignof(std::max_align_t));
    return AllocateBlock(size);
  }
  void do_deallocate(void* block, std::size_t size, std::size_t) override { FreeBlock(block, size); }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

void* AllocateBlock(std::size_t size) {
  if (size < kLargePage) return ::operator new(size);
  void* const block =
      mmap(nullptr, MappedSize(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) throw std::bad_alloc();
  madvise(block, MappedSize(size), MADV_HUGEPAGE);  // advice only
  return block;
}

void FreeBlock(void* block, std::size_t size) {
  if (size < kLargePage) return ::operator delete(block);
  munmap(block, MappedSize(size));
}

std::pmr::memory_resource& LargeBlocks() {
  static Resource resource;
  return resource;
}

}  // namespace tokend
