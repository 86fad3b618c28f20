#include "daemon/base/wiping_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

namespace tokend {
namespace {

constexpr std::size_t kFreedBytes = 4000;
constexpr char kFreedByte = 'S';

// How many bytes of the secret are left where it was, after `end` has ended its memory.
std::size_t LeftAfter(const std::function<void(void*)>& end) {
  void* const memory = WipingMalloc(kFreedBytes);
  std::memset(memory, kFreedByte, kFreedBytes);
  const auto address = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(memory));
  end(memory);
  const int own = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  std::string bytes(kFreedBytes, '\0');
  EXPECT_EQ(pread(own, bytes.data(), bytes.size(), address), static_cast<ssize_t>(kFreedBytes));
  close(own);
  return static_cast<std::size_t>(std::ranges::count(bytes, kFreedByte));
}

TEST(WipingMemory, IsOverwrittenWhenItIsFreed) {
  EXPECT_EQ(LeftAfter(WipingFree), 0U);
  void* moved = nullptr;
  EXPECT_EQ(LeftAfter([&](void* memory) { moved = WipingRealloc(memory, 100 * kFreedBytes); }), 0U);
  EXPECT_EQ(std::string(static_cast<char*>(moved), kFreedBytes), std::string(kFreedBytes, kFreedByte));
  WipingFree(moved);
}

TEST(WipingMemory, IsOverwrittenWhereALibraryFreesItWithoutAskingTheAllocator) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer has its own free";
#endif
  EXPECT_EQ(LeftAfter([](void* memory) { std::free(memory); }), 0U);
  void* moved = nullptr;
  EXPECT_EQ(LeftAfter([&](void* memory) { moved = std::realloc(memory, 100 * kFreedBytes); }), 0U);
  std::free(moved);
  EXPECT_EQ(LeftAfter([](void* memory) { ::operator delete(memory); }), 0U);
}

}  // namespace
}  // namespace tokend
