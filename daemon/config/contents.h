#pragma once

#include <string>

#include "absl/strings/cord.h"
#include "daemon/base/result.h"

// Errors of the files, variables and URLs that a configuration names, said of the key that names them.
namespace tokend::config {

// What is read. kFiles leaves out the sources that only the running daemon has: variables, credentials and
// URLs.
enum class Contents { kAll, kFiles };

inline constexpr char kKeyPayload[] = "tokend.config.key";

// The same status, said of a key: "audit.signing_key_file".
inline Status AtKey(const std::string& key, Status status) {
  status.SetPayload(kKeyPayload, absl::Cord(key));
  return status;
}

// Empty where the status is said of no key.
inline std::string KeyOf(const Status& status) {
  const auto key = status.GetPayload(kKeyPayload);
  return key ? std::string(*key) : "";
}

}  // namespace tokend::config
