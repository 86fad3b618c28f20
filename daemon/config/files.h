#pragma once

#include <string>
#include <vector>

#include "daemon/config/report.h"
#include "tokend/config/v1/config.pb.h"

namespace tokend::config {

// Judges the file that the key at `key` names, by the key's options: it must exist, be regular and readable,
// not be empty, have an allowed size, and not be readable by others. Its content is not read. Symbolic links
// are followed, because Kubernetes mounts secrets by them.
void CheckFile(const v1::KeyOptions& options, const std::string& file, const std::string& key,
               Report& report);

// Every file that the keys of a configuration name and that must exist, each once.
std::vector<std::string> FilesOf(const v1::Config& schema);

}  // namespace tokend::config
