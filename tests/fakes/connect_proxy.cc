#include "tests/fakes/connect_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <stdexcept>
#include <string_view>

namespace tokend::fakes {
namespace {

constexpr int kLookForStopMs = 10;

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool SendAll(int to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// Nothing once the peer has closed.
std::string ReceiveSome(int from) {
  std::array<char, 65536> bytes;
  const ssize_t count = recv(from, bytes.data(), bytes.size(), 0);
  return count <= 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(count));
}

bool PassOn(int from, int to) {
  const std::string bytes = ReceiveSome(from);
  return !bytes.empty() && SendAll(to, bytes);
}

// Of "CONNECT host:port HTTP/1.1"; 0 if it is none.
std::uint16_t PortOf(std::string_view request) {
  const std::string_view line = request.substr(0, request.find("\r\n"));
  if (!line.starts_with("CONNECT ")) return 0;
  const std::string_view target = line.substr(0, line.rfind(' '));
  const std::string_view port = target.substr(target.rfind(':') + 1);
  std::uint16_t number = 0;
  std::from_chars(port.data(), port.data() + port.size(), number);
  return number;
}

}  // namespace

struct ConnectProxy::Tunnel {
  std::uint64_t number = 0;  // 1, 2, 3 … in the order in which they were accepted
  int client = -1;
  int server = -1;           // -1 until CONNECT was answered
  std::string request = {};  // the header of CONNECT, as far as it has come

  void Close() const {
    close(client);
    if (server >= 0) close(server);
  }
};

ConnectProxy::ConnectProxy(int status) : status_(status) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

ConnectProxy::~ConnectProxy() {
  stopping_ = true;
  thread_.join();
  close(listener_);
}

std::vector<std::string> ConnectProxy::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ConnectProxy::Run() {
  std::vector<Tunnel> tunnels;
  while (!stopping_) {
    std::vector<pollfd> waits = {{listener_, POLLIN, 0}};
    for (const Tunnel& tunnel : tunnels) {
      // poll ignores -1.
      const bool silent = tunnel.number <= silenced_;
      waits.push_back({silent ? -1 : tunnel.client, POLLIN, 0});
      waits.push_back({silent ? -1 : tunnel.server, POLLIN, 0});
    }
    if (poll(waits.data(), waits.size(), kLookForStopMs) <= 0) continue;
    std::vector<Tunnel> open;
    for (std::size_t i = 0; i < tunnels.size(); ++i) {
      Tunnel& tunnel = tunnels[i];
      if (tunnel.number <= silenced_) {
        open.push_back(std::move(tunnel));
        continue;
      }
      const bool client_ok = waits[1 + 2 * i].revents == 0 || OnClient(tunnel);
      if (client_ok && (waits[2 + 2 * i].revents == 0 || PassOn(tunnel.server, tunnel.client))) {
        open.push_back(std::move(tunnel));
      } else {
        tunnel.Close();
      }
    }
    tunnels = std::move(open);
    if (waits[0].revents == 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) tunnels.push_back({.number = ++accepted_, .client = client});
  }
  for (const Tunnel& tunnel : tunnels) tunnel.Close();
}

bool ConnectProxy::OnClient(Tunnel& tunnel) {
  if (tunnel.server >= 0) return PassOn(tunnel.client, tunnel.server);
  const std::string bytes = ReceiveSome(tunnel.client);
  tunnel.request += bytes;
  if (bytes.empty()) return false;
  return tunnel.request.find("\r\n\r\n") == std::string::npos || Open(tunnel);
}

bool ConnectProxy::Open(Tunnel& tunnel) {
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(tunnel.request);
  }
  const std::string status = "HTTP/1.1 " + std::to_string(status_);
  if (status_ != 200) {
    SendAll(tunnel.client, status + " Refused\r\nX-Proxy: refuses\r\nContent-Length: 0\r\n\r\n");
    return false;
  }
  const sockaddr_in address = Loopback(PortOf(tunnel.request));
  tunnel.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return connect(tunnel.server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
         SendAll(tunnel.client, status + " Connection established\r\nX-Proxy: passes\r\n\r\n");
}

}  // namespace tokend::fakes
