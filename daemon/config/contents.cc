#include "daemon/config/contents.h"

#include <utility>

#include "absl/strings/cord.h"

namespace tokend::config {
namespace {

constexpr char kPayload[] = "tokend.config.key";

}  // namespace

Status AtKey(const std::string& key, Status status) {
  status.SetPayload(kPayload, absl::Cord(key));
  return status;
}

std::string KeyOf(const Status& status) {
  const auto key = status.GetPayload(kPayload);
  return key ? std::string(*key) : "";
}

}  // namespace tokend::config
