#pragma once

#include <cstddef>
#include <string>

#include "daemon/base/result.h"

namespace tokend {

// The longest PEM file that is read: 1 MiB.
inline constexpr std::size_t kMaxPemBytes = std::size_t{1} << 20U;

// Reads a file of one or more certificates in PEM, of at most kMaxPemBytes. Errors name the file.
Result<std::string> ReadCertificates(const std::string& path);

}  // namespace tokend
