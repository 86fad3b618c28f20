#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace tokend::fakes {

// The service manager's end of $NOTIFY_SOCKET. A name that begins with "@" stands for an abstract socket.
class NotifySocket {
 public:
  explicit NotifySocket(std::string name) : name_(std::move(name)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name_.data(), name_.size());
    if (name_.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&address), size), 0) << std::strerror(errno);
  }
  ~NotifySocket() { close(socket_); }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  const std::string& name() const { return name_; }

  // The messages since the last call.
  std::vector<std::string> Take() const {
    std::vector<std::string> messages;
    std::array<char, 4096> buffer{};
    for (ssize_t got = 0; (got = recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0;) {
      messages.emplace_back(buffer.data(), static_cast<std::size_t>(got));
    }
    return messages;
  }

 private:
  const std::string name_;
  const int socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

}  // namespace tokend::fakes
