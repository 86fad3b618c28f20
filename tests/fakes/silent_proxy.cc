#include "tests/fakes/silent_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tokend::fakes {
namespace {

constexpr int kLookMs = 10;  // how often it looks at cut_ and stopping_

struct Pair {
  int client;
  int server;
};

int ConnectTo(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

// Returns false once one side has closed.
bool Pass(int from, int to) {
  std::array<char, 65536> bytes;
  const ssize_t count = recv(from, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  for (ssize_t sent = 0; sent < count;) {
    const ssize_t more = send(to, bytes.data() + sent, static_cast<std::size_t>(count - sent), MSG_NOSIGNAL);
    if (more <= 0) return false;
    sent += more;
  }
  return true;
}

void Reset(const Pair& pair) {
  const linger at_once{1, 0};
  for (const int fd : {pair.client, pair.server}) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
  }
}

}  // namespace

SilentProxy::SilentProxy(std::string socket, const char* address, std::uint16_t port)
    : socket_(std::move(socket)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_port = htons(port);
  inet_pton(AF_INET, address, &own.sin_addr);
  socklen_t size = sizeof(own);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&own), size) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  port_ = ntohs(own.sin_port);
  thread_ = std::thread([this] { Run(); });
}

SilentProxy::~SilentProxy() {
  stopping_ = true;
  thread_.join();
  close(listener_);
}

void SilentProxy::Run() {
  std::vector<Pair> pairs;
  while (!stopping_) {
    if (resetting_.exchange(false)) {
      for (const Pair& pair : pairs) Reset(pair);
      pairs.clear();
    }
    std::vector<pollfd> waits = {{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs) {
      waits.push_back({pair.client, POLLIN, 0});
      waits.push_back({pair.server, POLLIN, 0});
    }
    if (cut_) {
      poll(nullptr, 0, kLookMs);
      continue;
    }
    if (poll(waits.data(), waits.size(), kLookMs) <= 0) continue;
    std::vector<Pair> open;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const Pair& pair = pairs[i];
      const bool client_ok = waits[1 + 2 * i].revents == 0 || Pass(pair.client, pair.server);
      if (client_ok && (waits[2 + 2 * i].revents == 0 || Pass(pair.server, pair.client))) {
        open.push_back(pair);
      } else {
        close(pair.client);
        close(pair.server);
      }
    }
    pairs = std::move(open);
    if (waits[0].revents == 0) continue;
    const int client = accept(listener_, nullptr, nullptr);
    const int server = ConnectTo(socket_);
    if (client >= 0 && server >= 0) {
      pairs.push_back({client, server});
    } else {
      if (client >= 0) close(client);
      if (server >= 0) close(server);
    }
  }
  for (const Pair& pair : pairs) {
    close(pair.client);
    close(pair.server);
  }
}

}  // namespace tokend::fakes
