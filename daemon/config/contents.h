#pragma once

#include <string>

#include "daemon/base/result.h"

// What is wrong with what a configuration names, and which key names it.
namespace tokend::config {

// What is read of it. kFiles leaves out what only the running daemon has: variables, credentials, and what a
// URL serves.
enum class Contents { kAll, kFiles };

// The same status, said of a key: "audit.signing_key_file".
Status AtKey(const std::string& key, Status status);

// Empty where it is said of none.
std::string KeyOf(const Status& status);

}  // namespace tokend::config
