#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace tokend::rpc {

// Holds the open connections of one listener to a maximum, so that they do not use up the descriptors that
// the audit log and the upstream need. gRPC closes connections without a word, hence this looks, once the
// maximum is reached, which of them are still what they were. One thread at a time.
class ConnectionLimit {
 public:
  explicit ConnectionLimit(std::size_t max) : max_(max) {}

  // Whether there is room for a connection that was just accepted; if so it counts until somebody closes it.
  bool Admit(int fd);

  // Whether one that was admitted is still open.
  bool AnyOpen();

 private:
  void ForgetClosed();

  struct Connection {
    int fd;
    ino_t socket;
  };

  const std::size_t max_;
  std::vector<Connection> open_;
};

// What each of so many listeners may have: together at most half of the descriptors of this process.
std::size_t MaxConnections(std::size_t listeners);

}  // namespace tokend::rpc
