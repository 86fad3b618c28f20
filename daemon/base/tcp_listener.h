#pragma once

#include <cstdint>
#include <string>

#include "daemon/base/result.h"

namespace tokend {

// Owns a file descriptor and closes it.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : descriptor_(other.Release()) {}
  Descriptor& operator=(Descriptor&&) = delete;

  int get() const { return descriptor_; }
  // Gives up ownership: the caller must close the descriptor.
  int Release();

 private:
  int descriptor_;
};

// "127.0.0.1:8443", "[::1]:8443".
std::string HostAndPort(const std::string& host, std::uint16_t port);

// A non-blocking TCP socket that listens.
struct TcpListener {
  Descriptor socket;
  std::uint16_t port = 0;  // the actual port
};

// Listens on an address that no other socket listens on. `host` has no brackets, port 0 means any free port,
// and "::" accepts IPv4 too. Errors name the address and say what to do. Blocks if `host` is a name that must
// be looked up.
Result<TcpListener> ListenTcp(const std::string& host, std::uint16_t port);

}  // namespace tokend
