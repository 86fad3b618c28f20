#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/base/secret.h"

// Reads secrets from files and the environment and checks their form. Every error names the source and says
// what to do about it. No error contains a part of the secret.
namespace tokend {

// The longest key and the longest secret file: 4 KiB.
inline constexpr std::size_t kMaxKeyBytes = 4096;

// Reads a file that holds a secret. It must be a regular file of 1 to kMaxKeyBytes bytes that others may not
// read and that only its owner may write (WhyExposed). Symlinks are followed, since Kubernetes mounts secrets
// as symlinks.
Result<Secret> ReadSecretFile(const std::string& path);

// Reads an API key from such a file. The file holds nothing else but, at most, one newline at the end.
Result<Secret> ReadKeyFile(const std::string& path);

// Checks that `text` is an API key that fits into an HTTP header: 1 to kMaxKeyBytes bytes of printable ASCII
// without spaces. An error begins with `source`. The caller must wipe the memory behind `text`.
Result<Secret> MakeKey(std::string_view source, std::string_view text);

}  // namespace tokend
