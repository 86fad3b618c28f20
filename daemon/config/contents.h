#pragma once

#include <string>

#include "daemon/base/result.h"

// Errors of the files, variables and URLs that a configuration names, said of the key that names them.
namespace tokend::config {

// What is read. kFiles leaves out the sources that only the running daemon has: variables, credentials and
// URLs.
enum class Contents { kAll, kFiles };

// The same status, said of a key: "audit.signing_key_file".
Status AtKey(const std::string& key, Status status);

// Empty where the status is said of no key.
std::string KeyOf(const Status& status);

}  // namespace tokend::config
