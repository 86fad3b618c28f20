#pragma once

#include <cstddef>

// Memory that is overwritten before it is given back: for libraries that hold secrets in buffers of their own
// (OpenSSL, nghttp2, libcurl) and take functions for their memory. The functions keep malloc's contracts and
// may be called on any thread.
namespace tokend {

void* WipingMalloc(std::size_t size);
void* WipingCalloc(std::size_t count, std::size_t size);
void* WipingRealloc(void* memory, std::size_t size);
void WipingFree(void* memory);
char* WipingStrdup(const char* text);

// Makes OpenSSL use them. Call it before OpenSSL has taken any memory; later calls change nothing.
void WipeMemoryOfOpenSsl();

}  // namespace tokend
