#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/tcp_listener.h"
#include "daemon/config/config.h"

namespace tokend::rpc {

// A listening socket, the only one at its address: it is an error if another process listens there. A Unix
// socket replaces a stale socket at its path and has its mode from the beginning. The destructor closes it,
// and unlinks its path if that still leads to this socket. One thread at a time.
class ListeningSocket {
 public:
  struct All {
    std::vector<ListeningSocket> sockets;  // at least one
    std::vector<std::string> skipped;      // addresses that this machine does not have
  };

  // Opens a socket for each address of the listener: a name may have several.
  static Result<All> Open(const config::Listener& listener);

  ~ListeningSocket();
  ListeningSocket(ListeningSocket&&) = default;
  ListeningSocket& operator=(ListeningSocket&&) = delete;

  int fd() const { return fd_.get(); }

  // The address with the actual port: "unix:///run/t.sock", "127.0.0.1:8443" or "[::1]:8443".
  const std::string& address() const { return address_; }

 private:
  ListeningSocket(Descriptor fd, std::string address) : fd_(std::move(fd)), address_(std::move(address)) {}

  static Result<ListeningSocket> OpenUnix(const std::string& path, mode_t mode);

  Descriptor fd_;  // none once this was moved from
  std::string address_;
  std::string path_;  // of a Unix socket; empty for TCP
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace tokend::rpc
