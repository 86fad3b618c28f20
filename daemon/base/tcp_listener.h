#pragma once

#include <cstdint>
#include <string>

#include "daemon/base/result.h"

namespace tokend {

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : descriptor_(other.Release()) {}
  Descriptor& operator=(Descriptor&&) = delete;

  int get() const { return descriptor_; }
  int Release();

 private:
  int descriptor_;
};

// "127.0.0.1:8443", "[::1]:8443".
std::string HostAndPort(const std::string& host, std::uint16_t port);

// A non-blocking TCP socket that listens, alone at its address: one that is in use is an error, never shared.
struct TcpListener {
  Descriptor socket;
  std::uint16_t port = 0;  // the one that it really has
};

// `host` without brackets; port 0: any free one. "::" takes IPv4 as well. Errors name the address and say
// what to do. Blocks where `host` is a name that must be looked up.
Result<TcpListener> ListenTcp(const std::string& host, std::uint16_t port);

}  // namespace tokend
