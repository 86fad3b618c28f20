#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <chrono>
#include <mutex>
#include <string>

#include "daemon/loop/event_loop.h"

namespace tokend::app {

// Tells the service manager that started the daemon, such as systemd with Type=notify, the daemon's state:
// one datagram to $NOTIFY_SOCKET for each change (sd_notify(3)). Without $NOTIFY_SOCKET nothing is sent. No
// function waits: if the socket has no room for a datagram, the state of a later moment is sent later.
class ServiceManager {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // From now on the loop sends WATCHDOG=1 at half of $WATCHDOG_USEC. The loop alone does this, because a disk
  // or a name server that hangs must not end the daemon. `loop` outlives this, and stops before this is
  // destroyed.
  void WatchLoop(loop::EventLoop& loop);

  // Whether calls are served. The first `true` ends the start (READY=1). Any thread.
  void SetServing(bool serving);

  // A reload begins, and ends. `rejection`: why the files are not in effect. Empty: the files are in effect.
  void BeginReload();
  void EndReload(std::string rejection);

  // The daemon stops. The manager must not end it within `longest`.
  void Stop(std::chrono::milliseconds longest);

 private:
  enum class Phase { kStarting, kServing, kReloading, kStopping };

  void Enter(Phase phase, std::string announcement);
  void Tell();
  std::string Status() const;
  bool Send(const std::string& message) const;
  void Beat(loop::EventLoop& loop);

  int socket_ = -1;  // -1: there is no manager to tell
  sockaddr_un address_{};
  socklen_t address_size_ = 0;
  std::chrono::microseconds watchdog_{0};  // zero: the manager does not watch

  std::mutex mutex_;  // guards the rest
  Phase phase_ = Phase::kStarting;
  bool serving_ = false;
  std::string rejection_;
  std::string announcement_;  // of the phase; empty once it has been sent
  std::string status_sent_;
};

}  // namespace tokend::app
