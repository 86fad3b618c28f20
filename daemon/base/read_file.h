#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend {

// Whether a file holds a secret. Such a file must not have a mode that exposes it.
enum class Secrecy { kPublic, kSecret };

// Why a file with this mode may not hold a secret, and what to do about it: others may read it, or its group
// or others may write it. Null if it may hold one.
const char* WhyExposed(mode_t mode);

// Reads a regular file of at most `max_bytes`. An error is FAILED_PRECONDITION and names the file.
Result<Secret> ReadBoundedFile(const std::string& path, std::size_t max_bytes,
                               Secrecy secrecy = Secrecy::kPublic);

// The same for a file without secrets: `take` gets its bytes block by block. The error does not name the
// file.
Status ReadBlocks(const std::string& path, std::size_t max_bytes, Secrecy secrecy,
                  absl::FunctionRef<void(std::string_view block)> take);

}  // namespace tokend
