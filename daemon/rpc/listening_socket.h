#pragma once

#include <sys/types.h>

#include <string>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::rpc {

// A socket that listens, alone at its address: one that is in use is an error, never shared. A unix socket
// has its mode from the moment that its name leads to it, and takes the place of a stale one. Ends unlinked
// and closed. One thread at a time.
class ListeningSocket {
 public:
  static Result<ListeningSocket> Open(const config::Listener& listener);

  ~ListeningSocket() { Close(); }
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;

  int fd() const { return fd_; }

  // Where it listens, with the port that it really has: "unix:///run/t.sock", "127.0.0.1:8443", "[::1]:8443".
  const std::string& address() const { return address_; }

  // No one can connect from here on. Takes away the socket's name if that is still this socket's.
  void Close();

 private:
  ListeningSocket(int fd, std::string address) : fd_(fd), address_(std::move(address)) {}

  static Result<ListeningSocket> OpenUnix(const std::string& path, mode_t mode);
  static Result<ListeningSocket> OpenTcp(const config::TcpAddress& address);

  int fd_;
  std::string address_;
  std::string path_;  // unix only
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace tokend::rpc
