#include "daemon/app/service_manager.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

namespace tokend::app {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

// How often unsent state is sent again if no watchdog is set.
constexpr microseconds kBeat = std::chrono::seconds(10);
constexpr std::size_t kMaxRejectionBytes = 512;

std::string_view Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

// Zero: the variable is not set, or is no number.
std::int64_t NumberIn(const char* name) {
  const std::string_view text = Variable(name);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

std::string Microseconds(const char* name, std::chrono::nanoseconds time) {
  return name + std::to_string(duration_cast<microseconds>(time).count()) + "\n";
}

}  // namespace

ServiceManager::ServiceManager() {
  const std::string_view path = Variable("NOTIFY_SOCKET");
  const bool is_address = path.starts_with('/') || path.starts_with('@');
  if (!is_address || path.size() >= sizeof(address_.sun_path)) return;
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, path.data(), path.size());
  if (path.front() == '@') address_.sun_path[0] = '\0';  // an abstract socket
  address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  const std::int64_t watched = NumberIn("WATCHDOG_PID");
  if (watched == 0 || watched == getpid()) watchdog_ = microseconds(NumberIn("WATCHDOG_USEC"));
}

ServiceManager::~ServiceManager() {
  if (socket_ >= 0) close(socket_);
}

void ServiceManager::WatchLoop(loop::EventLoop& loop) {
  if (socket_ >= 0) loop.Post([this, &loop] { Beat(loop); });
}

void ServiceManager::Beat(loop::EventLoop& loop) {
  if (watchdog_.count() > 0) (void)Send("WATCHDOG=1\n");
  {
    const std::lock_guard lock(mutex_);
    Tell();
  }
  loop.After(watchdog_.count() > 0 ? watchdog_ / 2 : kBeat, [this, &loop] { Beat(loop); });
}

void ServiceManager::SetServing(bool serving) {
  const std::lock_guard lock(mutex_);
  serving_ = serving;
  if (serving && phase_ == Phase::kStarting) Enter(Phase::kServing, "READY=1\n");
  Tell();
}

void ServiceManager::BeginReload() {
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kServing) return;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  Enter(Phase::kReloading, "RELOADING=1\n" + Microseconds("MONOTONIC_USEC=", now));
  Tell();
}

void ServiceManager::EndReload(std::string rejection) {
  const std::lock_guard lock(mutex_);
  rejection_ = std::move(rejection);
  rejection_.resize(std::min(rejection_.size(), kMaxRejectionBytes));
  std::replace(rejection_.begin(), rejection_.end(), '\n', ' ');
  if (phase_ == Phase::kReloading) Enter(Phase::kServing, "READY=1\n");
  Tell();
}

void ServiceManager::Stop(std::chrono::milliseconds longest) {
  const std::lock_guard lock(mutex_);
  Enter(Phase::kStopping, "STOPPING=1\n" + Microseconds("EXTEND_TIMEOUT_USEC=", longest));
  Tell();
}

void ServiceManager::Enter(Phase phase, std::string announcement) {
  phase_ = phase;
  announcement_ = std::move(announcement);
}

std::string ServiceManager::Status() const {
  switch (phase_) {
    case Phase::kStarting:
      return "starting";
    case Phase::kReloading:
      return "reloading";
    case Phase::kStopping:
      return "stopping: running calls may finish";
    case Phase::kServing:
      break;
  }
  return std::string(serving_ ? "serving" : "not serving: the audit log cannot be written") +
         (rejection_.empty() ? "" : "; the last reload was rejected: " + rejection_);
}

void ServiceManager::Tell() {
  const std::string status = Status();
  if (announcement_.empty() && status == status_sent_) return;
  if (!Send(announcement_ + "STATUS=" + status + "\n")) return;
  announcement_.clear();
  status_sent_ = status;
}

bool ServiceManager::Send(const std::string& message) const {
  if (socket_ < 0) return true;
  return sendto(socket_, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                reinterpret_cast<const sockaddr*>(&address_), address_size_) >= 0;
}

}  // namespace tokend::app
