#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/base/descriptor.h"
#include "daemon/base/result.h"

namespace tokend {

// "127.0.0.1:8443", "[::1]:8443".
std::string HostAndPort(const std::string& host, std::uint16_t port);

// A non-blocking TCP socket that listens.
struct TcpListener {
  Descriptor socket;
  std::string address;     // with the actual port: "127.0.0.1:8443", "[::1]:8443"
  std::uint16_t port = 0;  // the actual port
};

struct TcpListeners {
  std::vector<TcpListener> listening;  // at least one; all have the same port
  std::vector<std::string> skipped;    // addresses of the name that this machine does not have
};

// Listens on every address of `host`, which no other socket may listen on. `host` has no brackets, port 0
// means any free port, and "::" accepts IPv4 too. Errors name the address and say what to do. Blocks if
// `host` is a name that must be looked up.
Result<TcpListeners> ListenTcp(const std::string& host, std::uint16_t port);

}  // namespace tokend
