#pragma once

#include <string_view>

// The memory of libcurl, which holds API keys and bearers.
namespace tokend::loop {

// Starts libcurl with memory that is wiped before it is given back. False: libcurl cannot start.
bool StartCurl();

// Overwrites the copies of a secret in the buffers that libcurl took on this thread and keeps for as long as
// a connection lives: an answer over HTTP/2 stays in one until later answers take its place. The transfer
// that brought the secret must be over.
void WipeCopies(std::string_view secret);

}  // namespace tokend::loop
