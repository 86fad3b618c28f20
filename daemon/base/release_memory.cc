#include "daemon/base/release_memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tokend {
namespace {

using Segment = ElfW(Phdr);

// Of the program or one library. Its writable segments are left alone, with what the loader has relocated.
int ReleaseCodeOf(dl_phdr_info* object, std::size_t, void*) {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::span<const Segment> segments(object->dlpi_phdr, object->dlpi_phnum);
  const auto begin_of = [object](const Segment& segment) {
    return (object->dlpi_addr + segment.p_vaddr) / page * page;
  };
  for (const Segment& segment : segments) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = begin_of(segment);
    std::uintptr_t end = (object->dlpi_addr + segment.p_vaddr + segment.p_memsz + page - 1) / page * page;
    for (const Segment& other : segments) {
      if (other.p_type == PT_LOAD && other.p_vaddr > segment.p_vaddr) end = std::min(end, begin_of(other));
    }
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // NOLINT: an address
  }
  return 0;
}

}  // namespace

void ReturnFreeMemory() { malloc_trim(0); }

void ReleaseCodePages() { dl_iterate_phdr(&ReleaseCodeOf, nullptr); }

}  // namespace tokend
