#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend {

// Whether users other than the file's owner and group may have the right to read it.
enum class OtherReaders { kAllowed, kRefused };

// Reads a regular file of at most `max_bytes`. An error is FAILED_PRECONDITION and names the file.
Result<Secret> ReadBoundedFile(const std::string& path, std::size_t max_bytes,
                               OtherReaders others = OtherReaders::kAllowed);

// The same for a file without secrets: `take` gets its bytes block by block. The error does not name the
// file.
Status ReadBlocks(const std::string& path, std::size_t max_bytes, OtherReaders others,
                  absl::FunctionRef<void(std::string_view block)> take);

}  // namespace tokend
