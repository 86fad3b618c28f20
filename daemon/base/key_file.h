#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

// Secrets from outside, judged before they become a Secret. Every error names where the secret came from and
// what to do about it, never what it holds.
namespace tokend {

// No key or key file is longer: 4 KiB.
inline constexpr std::size_t kMaxKeyBytes = 4096;

// The bytes of a file that holds a secret: a regular file (through symlinks, as Kubernetes mounts them) that
// others may not read, not empty and not over kMaxKeyBytes.
Result<Secret> ReadSecretFile(const std::string& path);

// The API key that such a file holds, alone: one trailing newline is left out.
Result<Secret> ReadKeyFile(const std::string& path);

// The API key that `text` is: not empty, and printable ASCII without blanks, so that it can stand in an HTTP
// header as it is. `source` begins the error. What `text` is a view of stays the caller's to wipe.
Result<Secret> MakeKey(std::string_view source, std::string_view text);

}  // namespace tokend
