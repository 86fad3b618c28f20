#pragma once

#include <cstddef>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/rpc/listening_socket.h"

namespace tokend::rpc {

// Accepts the connections of all listeners on one thread of its own.
class Acceptor {
 public:
  // Gets each connection, non-blocking and its to close, with the index of the listener. On the acceptor's
  // thread.
  using Accepted = absl::AnyInvocable<void(std::size_t listener, int fd)>;

  Acceptor(std::vector<ListeningSocket> listeners, Accepted accepted);
  ~Acceptor() { Stop(); }
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Closes and unlinks the listeners. `accepted` is not called any more once this returns. Not from within
  // it; one thread at a time.
  void Stop();

 private:
  void Run();
  void AcceptFrom(std::size_t listener);
  void Pause();

  std::vector<ListeningSocket> listeners_;
  Accepted accepted_;
  int stop_fd_;
  std::thread thread_;
};

}  // namespace tokend::rpc
