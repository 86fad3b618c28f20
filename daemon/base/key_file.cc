#include "daemon/base/key_file.h"

#include "daemon/base/read_file.h"
#include "daemon/base/text.h"

namespace tokend {
namespace {

Status Unusable(std::string_view source, std::string_view what) {
  return absl::FailedPreconditionError(std::string(source).append(": ").append(what));
}

}  // namespace

Result<Secret> ReadSecretFile(const std::string& path) {
  Result<Secret> secret = ReadBoundedFile(path, kMaxKeyBytes, Secrecy::kSecret);
  if (secret.ok() && secret->empty()) return Unusable(path, "is empty");
  return secret;
}

Result<Secret> ReadKeyFile(const std::string& path) {
  const Result<Secret> secret = ReadSecretFile(path);
  if (!secret.ok()) return secret.status();
  std::string_view text = secret->Expose();
  if (text.ends_with('\n')) {
    text.remove_suffix(1);
    if (text.ends_with('\r')) text.remove_suffix(1);
  }
  return MakeKey(path, text);
}

Result<Secret> MakeKey(std::string_view source, std::string_view text) {
  if (text.empty()) return Unusable(source, "is empty");
  if (text.size() > kMaxKeyBytes) return Unusable(source, "is longer than 4 KiB");
  if (!IsVisibleAscii(text)) {
    return Unusable(source, "must hold the key alone: one line of printable ASCII without spaces");
  }
  return Secret(text);
}

}  // namespace tokend
