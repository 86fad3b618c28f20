#pragma once

#include <string_view>

// Libcurl's memory, which holds API keys and bearers.
namespace tokend::loop {

// Starts libcurl with memory that is wiped before it is freed. False: libcurl cannot start.
bool StartCurl();

// Overwrites the copies of a secret in the buffers that libcurl allocated on this thread and keeps as long as
// a connection lives: an answer over HTTP/2 stays in such a buffer until later answers overwrite it. The
// transfer that brought the secret must have ended.
void WipeCopies(std::string_view secret);

}  // namespace tokend::loop
