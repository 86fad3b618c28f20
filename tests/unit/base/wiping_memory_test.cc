#include "daemon/base/wiping_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

namespace tokend {
namespace {

constexpr std::size_t kFreedBytes = 4000;
constexpr char kFreedByte = 'S';

// Whether a part of the secret is left where it was, after `end` has ended its memory. Single bytes may be
// the heap's own.
bool IsLeftAfter(const std::function<void(void*)>& end) {
  std::string bytes(kFreedBytes, '\0');  // allocated first: it must not get the freed memory
  void* const memory = WipingMalloc(kFreedBytes);
  std::memset(memory, kFreedByte, kFreedBytes);
  const auto address = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(memory));
  end(memory);
  const int own = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(pread(own, bytes.data(), bytes.size(), address), static_cast<ssize_t>(kFreedBytes));
  close(own);
  return bytes.find(std::string(16, kFreedByte)) != std::string::npos;
}

TEST(WipingMemory, IsOverwrittenWhenItIsFreed) {
  EXPECT_FALSE(IsLeftAfter(WipingFree));
  void* moved = nullptr;
  EXPECT_FALSE(IsLeftAfter([&](void* memory) { moved = WipingRealloc(memory, 100 * kFreedBytes); }));
  EXPECT_EQ(std::string(static_cast<char*>(moved), kFreedBytes), std::string(kFreedBytes, kFreedByte));
  WipingFree(moved);
}

TEST(WipingMemory, IsOverwrittenWhereALibraryFreesItWithoutAskingTheAllocator) {
#ifdef TOKEND_SANITIZED
  GTEST_SKIP() << "the sanitizer has its own free";
#endif
  EXPECT_FALSE(IsLeftAfter([](void* memory) { std::free(memory); }));
  void* moved = nullptr;
  EXPECT_FALSE(IsLeftAfter([&](void* memory) { moved = std::realloc(memory, 100 * kFreedBytes); }));
  std::free(moved);
  EXPECT_FALSE(IsLeftAfter([](void* memory) { ::operator delete(memory); }));
}

}  // namespace
}  // namespace tokend
