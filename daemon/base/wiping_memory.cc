#include "daemon/base/wiping_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#ifdef TOKEND_SANITIZED

// A sanitizer has its own free, and keeps freed memory.
namespace {
void FreeWiped(void* memory) { std::free(memory); }
}  // namespace

#else

extern "C" void __libc_free(void* memory);  // NOLINT: glibc's own, under its name

namespace {
void FreeWiped(void* memory) { __libc_free(memory); }
}  // namespace

// These replace glibc's, for all libraries of the process. Libcurl's own HTTP/2 session accepts no allocator,
// and frees each request's header with the API key in it.
extern "C" void free(void* memory) noexcept { tokend::WipingFree(memory); }
extern "C" void* realloc(void* memory, std::size_t size) noexcept {
  return tokend::WipingRealloc(memory, size);
}

#endif

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
  explicit_bzero(memory, malloc_usable_size(memory));
  FreeWiped(memory);
}

char* WipingStrdup(const char* text) { return strdup(text); }

void WipeMemoryOfOpenSsl() {
  CRYPTO_set_mem_functions(
      [](std::size_t size, const char*, int) { return WipingMalloc(size); },
      [](void* memory, std::size_t size, const char*, int) { return WipingRealloc(memory, size); },
      [](void* memory, const char*, int) { WipingFree(memory); });
}

}  // namespace tokend
