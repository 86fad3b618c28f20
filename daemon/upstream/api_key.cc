#include "daemon/upstream/api_key.h"

#include <openssl/crypto.h>

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

using KeyPointer = std::shared_ptr<const ApiKey>;

KeyPointer FindVariable(const KeyRing& ring, const config::KeyEnvironment& environment) {
  for (const auto& [name, in_use] : ring) {
    const auto* taken = std::get_if<config::KeyEnvironment>(&in_use.source);
    if (taken != nullptr && taken->variable == environment.variable) return in_use.key;
  }
  return nullptr;
}

Result<KeyPointer> Load(const config::ApiKeySource& source, const KeyRing& ring, const KeyRing* previous) {
  if (const auto* environment = std::get_if<config::KeyEnvironment>(&source)) {
    KeyPointer taken = FindVariable(ring, *environment);
    if (!taken && previous != nullptr) taken = FindVariable(*previous, *environment);
    if (taken) return taken;
    if (previous != nullptr) {
      return absl::FailedPreconditionError(environment->variable +
                                           ": a variable is read at the start alone: restart the daemon");
    }
  }
  Result<Secret> key = std::visit([](const auto& where) { return Read(where); }, source);
  if (!key.ok()) return key.status();
  return std::make_shared<const ApiKey>(*std::move(key));
}

bool Same(const ApiKey& a, const ApiKey& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.Expose().data(), b.Expose().data(), a.size()) == 0;
}

}  // namespace

Result<KeyRing> ReadKeys(const std::vector<config::Organization>& organizations, const KeyRing* previous,
                         config::Contents contents) {
  KeyRing ring;
  for (std::size_t i = 0; i < organizations.size(); ++i) {
    const config::Organization& organization = organizations[i];
    if (!organization.api_key) continue;
    const config::ApiKeySource& source = *organization.api_key;
    const bool in_file = std::holds_alternative<config::KeyFile>(source);
    if (contents == config::Contents::kFiles && !in_file) continue;
    Result<KeyPointer> key = Load(source, ring, previous);
    if (!key.ok()) {
      return config::AtKey("upstream.applivery.organizations[" + std::to_string(i) + "].api_key",
                           {key.status().code(), "organization " + organization.name + ": " +
                                                     std::string(key.status().message())});
    }
    KeyInUse in_use{*std::move(key), source};
    if (previous != nullptr) {
      const auto before = previous->find(organization.name);
      if (before != previous->end()) {
        const bool same = Same(*before->second.key, *in_use.key);
        in_use.generation = before->second.generation + (same ? 0 : 1);
      }
    }
    ring.emplace(organization.name, std::move(in_use));
  }
  return ring;
}

}  // namespace tokend::upstream
