#include "daemon/loop/curl_memory.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "daemon/base/wiping_memory.h"

namespace tokend::loop {
namespace {

// Libcurl's buffer of an HTTP/2 connection has 32 KiB (lib/http2.c, H2_BUFSIZE). Smaller and larger buffers
// belong to a transfer, and are freed with it.
constexpr std::size_t kMinLasting = std::size_t{24} * 1024;
constexpr std::size_t kMaxLasting = std::size_t{48} * 1024;

struct Block {
  char* memory;
  std::size_t size;
};

// The buffers of this thread. A connection lives and ends on the thread of its loop.
thread_local std::vector<Block> lasting;

void* Remember(void* memory, std::size_t size) {
  if (memory != nullptr && size >= kMinLasting && size <= kMaxLasting) {
    lasting.push_back({static_cast<char*>(memory), size});
  }
  return memory;
}

void Forget(void* memory) {
  std::erase_if(lasting, [&](const Block& block) { return block.memory == memory; });
}

void* Malloc(std::size_t size) { return Remember(WipingMalloc(size), size); }

void* Calloc(std::size_t count, std::size_t size) {
  return Remember(WipingCalloc(count, size), count * size);
}

void Free(void* memory) {
  Forget(memory);
  WipingFree(memory);
}

void* Realloc(void* memory, std::size_t size) {
  Forget(memory);
  return Remember(WipingRealloc(memory, size), size);
}

}  // namespace

bool StartCurl() {
  return curl_global_init_mem(CURL_GLOBAL_DEFAULT, &Malloc, &Free, &Realloc, &WipingStrdup, &Calloc) ==
         CURLE_OK;
}

void WipeCopies(std::string_view secret) {
  if (secret.empty()) return;
  for (const auto& [memory, size] : lasting) {
    char* at = memory;
    const char* const end = memory + size;
    while (void* const found = memmem(at, static_cast<std::size_t>(end - at), secret.data(), secret.size())) {
      OPENSSL_cleanse(found, secret.size());
      at = static_cast<char*>(found) + secret.size();
    }
  }
}

}  // namespace tokend::loop
