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
  // IP addresses as texts, sorted, each once, at most kMaxAddresses; IPv6 without brackets. Empty: the
  // look-up failed.
  using Done = absl::AnyInvocable<void(std::vector<std::string> addresses)>;

  static constexpr std::size_t kMaxAddresses = 64;

  virtual ~NameLookup() = default;

  // Calls `done` on the loop thread and never from within LookUp, unless this is destroyed first. One look-up
  // at a time.
  virtual void LookUp(const std::string& host, Done done) = 0;
};

// Asks the system (getaddrinfo(3)), on a thread that each look-up starts. The thread of a look-up that the
// name server holds up ends by itself, later: neither the loop nor the destructor waits for it. May be
// destroyed before or after the loop's thread has stopped, and must be destroyed before the loop.
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
  std::shared_ptr<Request> request_;  // the latest
};

// Whether the text is an IP address, without brackets.
bool IsIpAddress(const std::string& host);

}  // namespace tokend::loop
