#include "daemon/base/peer_user.h"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace tokend {
namespace {

constexpr uid_t kUsualOverflowUid = 65534;

// Whether the map names every user: 0 to 4294967294.
bool IsWhole(std::string_view uid_map) {
  std::istringstream line{std::string(uid_map)};
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  constexpr std::uint64_t kUsers = 4294967295;
  return static_cast<bool>(line >> inside >> outside >> count) && inside == 0 && count == kUsers;
}

// Empty if the file cannot be read.
std::string TextOf(const char* file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

uid_t OverflowUid() {
  static const uid_t uid = [] {
    uid_t read = 0;
    return std::ifstream("/proc/sys/kernel/overflowuid") >> read ? read : kUsualOverflowUid;
  }();
  return uid;
}

std::optional<uid_t> NamedUser(uid_t uid, std::string_view uid_map) {
  return uid == OverflowUid() && !IsWhole(uid_map) ? std::nullopt : std::optional(uid);
}

std::optional<uid_t> NamedUser(uid_t uid) {
  static const std::string uid_map = TextOf("/proc/self/uid_map");
  return NamedUser(uid, uid_map);
}

}  // namespace tokend
