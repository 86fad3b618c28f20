#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace tokend::fakes {

// A TCP proxy in front of a server on a unix socket, for tests of a broken network. After Cut(), it passes no
// bytes and closes no connection, as if a cable were pulled. After Mend(), it passes the bytes that were sent
// meanwhile.
class SilentProxy {
 public:
  explicit SilentProxy(std::string socket);
  ~SilentProxy();
  SilentProxy(const SilentProxy&) = delete;
  SilentProxy& operator=(const SilentProxy&) = delete;

  std::uint16_t port() const { return port_; }
  void Cut() { cut_ = true; }
  void Mend() { cut_ = false; }

 private:
  void Run();

  const std::string socket_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> cut_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tokend::fakes
