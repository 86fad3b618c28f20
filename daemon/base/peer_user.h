#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>

// Which user a uid of the kernel names. In a user namespace that does not map every user, such as a rootless
// container's, the kernel gives all users that it cannot name one and the same uid: the overflow uid.
namespace tokend {

// The overflow uid of this host: 65534, unless its administrator has chosen another.
uid_t OverflowUid();

// The uid if it names one user, where `uid_map` is the text of /proc/PID/uid_map; nothing if it may stand for
// several.
std::optional<uid_t> NamedUser(uid_t uid, std::string_view uid_map);

// The same in this process's user namespace. Any thread.
std::optional<uid_t> NamedUser(uid_t uid);

}  // namespace tokend
