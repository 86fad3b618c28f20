#pragma once

#include <string>

#include "daemon/base/result.h"

namespace tokend {

// The text of a file that holds certificates in PEM, one or more, each of them whole, and at most 1 MiB.
// Errors name the file.
Result<std::string> ReadCertificates(const std::string& path);

}  // namespace tokend
