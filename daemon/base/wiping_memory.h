#pragma once

#include <cstddef>

// An allocator that overwrites memory before it frees it, for libraries that keep secrets in their own
// buffers and accept an allocator (OpenSSL, nghttp2, libcurl). The functions follow the contracts of
// malloc(3). Any thread. A program that is linked with this overwrites what it frees by free() and realloc()
// as well, unless it is built with a sanitizer.
namespace tokend {

void* WipingMalloc(std::size_t size);
void* WipingCalloc(std::size_t count, std::size_t size);
void* WipingRealloc(void* memory, std::size_t size);
void WipingFree(void* memory);
char* WipingStrdup(const char* text);

// Makes OpenSSL use this allocator. It has an effect only before OpenSSL's first allocation.
void WipeMemoryOfOpenSsl();

}  // namespace tokend
