#include "tests/unit/loop/name_server.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>

#include <array>
#include <string_view>

namespace tokend::loop {

ResolverGate& Names() {
  static ResolverGate gate;
  return gate;
}

namespace {

using GetAddresses = decltype(&getaddrinfo);

// Finds two IPv4 addresses, one of them twice, and one IPv6 address.
int FindSeveral(GetAddresses libc, const char* service, const addrinfo* hints, addrinfo** result) {
  constexpr std::array kAddresses = {"10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1"};
  addrinfo** end = result;
  for (const char* address : kAddresses) {
    if (const int failed = libc(address, service, hints, end); failed != 0) return failed;
    while (*end != nullptr) end = &(*end)->ai_next;
  }
  return 0;
}

}  // namespace
}  // namespace tokend::loop

// Replaces libc's getaddrinfo, also for libcurl, so that no test asks a name server.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** result) {
  const std::string_view host = name == nullptr ? "" : name;
  if (host == "slow.test") {
    tokend::loop::Names().Wait();
    return EAI_AGAIN;
  }
  if (host == "absent.test") return EAI_NONAME;
  static const auto libc = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  if (host == "several.test") return tokend::loop::FindSeveral(libc, service, hints, result);
  return libc(name, service, hints, result);
}
