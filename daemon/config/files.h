#pragma once

#include <string>
#include <vector>

#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Judges the file that the key at `key` names, as the key's options ask: there, regular, readable, not empty,
// of the right size, and not readable by others. Its content is not read. Symbolic links are followed: that
// is how Kubernetes mounts secrets.
void CheckFile(const v1::KeyOptions& options, const std::string& file, const std::string& key,
               Report& report);

// Every file that the keys of a configuration name and that must be there, each once.
std::vector<std::string> FilesOf(const v1::Config& schema);

}  // namespace tokend::config
