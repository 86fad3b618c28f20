#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/loop/event_loop.h"

namespace tokend::loop {

// Finds the addresses of a host. Loop thread only.
class NameLookup {
 public:
  // The IP addresses as texts: sorted, each once, at most kMaxAddresses, IPv6 without brackets. Empty: the
  // look-up failed.
  using Done = absl::AnyInvocable<void(std::vector<std::string> addresses)>;

  static constexpr std::size_t kMaxAddresses = 64;

  virtual ~NameLookup() = default;

  // Calls `done` on the loop thread, and never from within LookUp. A NameLookup that is destroyed calls
  // nobody. At most one look-up may run.
  virtual void LookUp(const std::string& host, Done done) = 0;
};

// Asks the system by getaddrinfo(3). Each look-up starts a thread for that, because a name server may take
// long. Neither the loop nor the destructor waits for the thread: it ends when the name server has answered.
// The destructor may run before or after the loop's thread has stopped. The loop outlives this.
class SystemNameLookup final : public NameLookup {
 public:
  explicit SystemNameLookup(EventLoop& loop) : loop_(loop) {}
  ~SystemNameLookup() override;
  SystemNameLookup(const SystemNameLookup&) = delete;
  SystemNameLookup& operator=(const SystemNameLookup&) = delete;

  void LookUp(const std::string& host, Done done) override;

 private:
  struct Request;

  // Any thread.
  static void Answer(const std::shared_ptr<Request>& request, std::vector<std::string> addresses);

  EventLoop& loop_;
  std::shared_ptr<Request> request_;  // of the latest look-up
};

// Whether the text is an IP address, without brackets.
bool IsIpAddress(const std::string& host);

}  // namespace tokend::loop
