#pragma once

#include <cstddef>
#include <string>

#include "daemon/base/result.h"

namespace tokend {

// The longest PEM file that is read: 1 MiB.
inline constexpr std::size_t kMaxPemBytes = std::size_t{1} << 20U;

// OpenSSL's callback that asks for the passphrase of a key: there is nobody to ask, so an encrypted key is an
// error.
inline int NoPassphrase(char*, int, int, void*) { return -1; }

// Reads a file of one or more certificates in PEM, of at most kMaxPemBytes. Errors name the file.
Result<std::string> ReadCertificates(const std::string& path);

}  // namespace tokend
