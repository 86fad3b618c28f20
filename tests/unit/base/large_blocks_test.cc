#include "daemon/base/large_blocks.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory_resource>

namespace tokend {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST(LargeBlocks, HoldWhatTheyAreAskedFor) {
  for (const std::size_t size : {std::size_t{1}, kMiB, 2 * kMiB, 3 * kMiB + 1}) {
    void* const block = AllocateBlock(size);
    std::memset(block, 'x', size);
    FreeBlock(block, size);
  }
}

TEST(LargeBlocks, ReturnTheirMemoryToTheSystemAtTheirEnd) {
  const std::size_t size = 3 * kMiB;
  void* block = nullptr;
  {
    std::pmr::monotonic_buffer_resource memory(size, &LargeBlocks());
    block = memory.allocate(size / 2);
    ASSERT_EQ(msync(block, 1, MS_ASYNC), 0);
  }
  EXPECT_EQ(msync(block, 1, MS_ASYNC), -1);
  EXPECT_EQ(errno, ENOMEM);
}

}  // namespace
}  // namespace tokend
