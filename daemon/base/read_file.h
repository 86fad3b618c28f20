#pragma once

#include <cstddef>
#include <string>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

namespace tokend {

// The bytes of a regular file that is not larger than `max_bytes`. Errors name the file and what is wrong.
Result<Secret> ReadBoundedFile(const std::string& path, std::size_t max_bytes);

}  // namespace tokend
