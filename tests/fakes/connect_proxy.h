#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tokend::fakes {

// An HTTP proxy on 127.0.0.1 that knows CONNECT alone. For it every host name is this machine. Thread-safe.
class ConnectProxy {
 public:
  // The status with which it answers each CONNECT. Only with 200 it passes bytes on.
  explicit ConnectProxy(int status = 200);
  ~ConnectProxy();
  ConnectProxy(const ConnectProxy&) = delete;
  ConnectProxy& operator=(const ConnectProxy&) = delete;

  std::uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // The connections that are open now pass no further byte and stay open, as where a NAT or a load balancer
  // has forgotten them. Later ones work.
  void SilenceConnections() { silenced_ = accepted_.load(); }

  // What clients have sent before their tunnels began, one text for each CONNECT.
  std::vector<std::string> requests() const;

 private:
  struct Tunnel;

  void Run();
  // Return false once the tunnel has ended.
  bool OnClient(Tunnel& tunnel);
  bool Open(Tunnel& tunnel);

  const int status_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> silenced_{0};  // the connections up to this number
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace tokend::fakes
