#include "daemon/base/release_memory.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tokend {
namespace {

// KiB of this process that are in memory.
struct Resident {
  std::size_t anonymous = 0;
  std::size_t all = 0;

  std::size_t of_files() const { return all - anonymous; }
};

Resident ResidentNow() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  std::string word;
  Resident resident;
  while (rollup >> word) {
    if (word == "Rss:") rollup >> resident.all;
    if (word == "Anonymous:") rollup >> resident.anonymous;
  }
  return resident;
}

#ifndef TOKEND_SANITIZED  // a sanitizer has an allocator of its own
TEST(ReleaseMemory, ReturnsMemoryThatWasFreedBelowMemoryInUse) {
  constexpr std::size_t kBlocks = 32 * 1024;
  std::vector<std::unique_ptr<std::vector<char>>> blocks;
  for (std::size_t i = 0; i < kBlocks; ++i) blocks.push_back(std::make_unique<std::vector<char>>(1000, 'x'));
  const auto in_use = std::move(blocks.back());  // the highest one: the allocator cannot shrink the heap
  blocks.clear();
  const std::size_t before = ResidentNow().anonymous;
  ReturnFreeMemory();
  EXPECT_LT(ResidentNow().anonymous + 16 * 1024, before);
}
#endif

TEST(ReleaseMemory, LetsGoOfCodeAndRunsOn) {
  const std::size_t before = ResidentNow().of_files();
  ReleaseCodePages();
  EXPECT_LT(ResidentNow().of_files(), before);
  EXPECT_THROW((void)std::string().at(1), std::out_of_range)
      << "what the loader has relocated is still there";
}

}  // namespace
}  // namespace tokend
