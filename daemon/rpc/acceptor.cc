#include "daemon/rpc/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

// So that no listener keeps the others waiting.
constexpr int kMaxAcceptsInARow = 64;

// How long to leave connections in the queue where the process has no room for them.
constexpr int kPauseMs = 100;

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Acceptor::Acceptor(std::vector<ListeningSocket> listeners, Accepted accepted)
    : listeners_(std::move(listeners)),
      accepted_(std::move(accepted)),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (stop_fd_ < 0) std::abort();  // A listener that cannot be stopped must not start.
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::Stop() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  if (write(stop_fd_, &one, sizeof(one)) != sizeof(one)) std::abort();
  thread_.join();
  close(stop_fd_);
  listeners_.clear();
}

void Acceptor::Run() {
  std::vector<pollfd> polled;
  for (const ListeningSocket& listener : listeners_) polled.push_back({listener.fd(), POLLIN, 0});
  polled.push_back({stop_fd_, POLLIN, 0});
  for (;;) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled.back().revents != 0) return;
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if (polled[i].revents != 0) AcceptFrom(i);
    }
  }
}

void Acceptor::AcceptFrom(std::size_t listener) {
  for (int accepts = 0; accepts < kMaxAcceptsInARow; ++accepts) {
    const int fd = accept4(listeners_[listener].fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      const int yes = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes,
                 sizeof(yes));  // refused by unix sockets, which need none
      accepted_(listener, fd);
    } else if (IsShortage(errno)) {
      telemetry::Log(config::LogLevel::kError, "accept_failed",
                     {{"address", listeners_[listener].address()},
                      {"detail", "no room for another connection; raise the limit of open files"}});
      Pause();
      return;
    } else if (errno == EAGAIN || errno == EINTR) {
      return;
    }
    // Anything else is the end of that one connection (accept(2)).
  }
}

void Acceptor::Pause() {
  pollfd stop{stop_fd_, POLLIN, 0};
  poll(&stop, 1, kPauseMs);
}

}  // namespace tokend::rpc
