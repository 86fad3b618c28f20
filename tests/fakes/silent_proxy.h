#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace tokend::fakes {

// A network between a client and a server on a unix socket, that a test can cut: then nothing passes and
// nothing is closed, as where a cable is pulled. What was sent meanwhile arrives once it is mended.
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
