#include "daemon/upstream/api_key.h"

#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

#include "daemon/base/key_file.h"
#include "daemon/base/process.h"

namespace tokend::upstream {
namespace {

Result<Secret> Read(const config::KeyFile& file) { return ReadKeyFile(file.path); }

Result<Secret> Read(const config::KeyEnvironment& environment) {
  return TakeKeyFromEnvironment(environment.variable);
}

Result<Secret> Read(const config::KeyCredential& credential) {
  const std::string& name = credential.name;
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    return absl::FailedPreconditionError("a credential's name must be a file name without a slash");
  }
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') {
    return absl::FailedPreconditionError(
        "CREDENTIALS_DIRECTORY is not set: a credential needs LoadCredential= or the like in systemd's unit");
  }
  return ReadKeyFile(std::string(directory) + "/" + name);
}

}  // namespace

Result<ApiKey> LoadApiKey(const config::KeySource& source) {
  Result<Secret> key = std::visit([](const auto& where) { return Read(where); }, source);
  if (!key.ok()) return key.status();
  return ApiKey(*std::move(key));
}

}  // namespace tokend::upstream
