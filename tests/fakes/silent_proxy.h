#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace tokend::fakes {

// A TCP proxy in front of a server on a unix socket, for tests of a broken network. After Cut(), it passes no
// bytes and closes no connection, as if a cable were pulled. After Mend(), it passes the bytes that were sent
// meanwhile. ResetAll() ends every connection by RST.
class SilentProxy {
 public:
  // Listens on this address of IPv4; for port 0 the system chooses a free one.
  explicit SilentProxy(std::string socket, const char* address = "127.0.0.1", std::uint16_t port = 0);
  ~SilentProxy();
  SilentProxy(const SilentProxy&) = delete;
  SilentProxy& operator=(const SilentProxy&) = delete;

  std::uint16_t port() const { return port_; }
  void Cut() { cut_ = true; }
  void Mend() { cut_ = false; }
  void ResetAll() { resetting_ = true; }

 private:
  void Run();

  const std::string socket_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> cut_{false};
  std::atomic<bool> resetting_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tokend::fakes
