#include "daemon/base/wiping_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace tokend {

void* WipingMalloc(std::size_t size) { return std::malloc(size); }

void* WipingCalloc(std::size_t count, std::size_t size) { return std::calloc(count, size); }

// Not std::realloc: it may move the bytes and leave a copy in the old memory.
void* WipingRealloc(void* memory, std::size_t size) {
  if (memory == nullptr) return std::malloc(size);
  if (size == 0) {
    WipingFree(memory);
    return nullptr;
  }
  const std::size_t had = malloc_usable_size(memory);
  if (size <= had && size >= had / 2) return memory;
  void* moved = std::malloc(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, memory, std::min(had, size));
  WipingFree(memory);
  return moved;
}

void WipingFree(void* memory) {
  if (memory == nullptr) return;
  OPENSSL_cleanse(memory, malloc_usable_size(memory));
  std::free(memory);
}

char* WipingStrdup(const char* text) { return strdup(text); }

void WipeMemoryOfOpenSsl() {
  CRYPTO_set_mem_functions(
      [](std::size_t size, const char*, int) { return WipingMalloc(size); },
      [](void* memory, std::size_t size, const char*, int) { return WipingRealloc(memory, size); },
      [](void* memory, const char*, int) { WipingFree(memory); });
}

}  // namespace tokend
