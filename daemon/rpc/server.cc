#include "daemon/rpc/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/listening_socket.h"
#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

// How often WaitDrained checks whether connections are left.
constexpr std::chrono::milliseconds kDrainPollInterval{5};

Shares::Policy PolicyOf(const ServerSettings& settings) {
  return settings.one_caller ? Shares::Policy::kOneHolder : Shares::Policy::kShared;
}

Status OfListener(const std::string& name, const Status& status) {
  return {status.code(), absl::StrCat("listener ", name, ": ", status.message())};
}

// A name may have addresses that this machine lacks, such as ::1 where IPv6 is switched off.
void LogSkipped(const std::string& listener, const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) {
    telemetry::Log(config::LogLevel::kWarning, "address_skipped",
                   {{"listener", listener},
                    {"address", address},
                    {"detail", "this machine does not have this address of the name"}});
  }
}

}  // namespace

std::size_t MaxConnections(std::size_t listeners) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
    return bounds::kMaxConnections;
  return std::clamp<std::size_t>(files.rlim_cur / 2 / listeners, 1, bounds::kMaxConnections);
}

Result<std::unique_ptr<Server>> Server::Start(const config::Config& config, const ServerSettings& settings,
                                              issue::Issuer& issuer, const issue::CurrentConfig& current,
                                              telemetry::Metrics& metrics, const bounds::Times& times) {
  std::unique_ptr<Server> server(new Server(settings, metrics));
  auto& listeners = server->listeners_;
  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    const config::Listener& listener = config.listeners[i];
    Result<ListeningSocket::All> opened = ListeningSocket::Open(listener);
    if (!opened.ok()) return OfListener(listener.name, opened.status());
    LogSkipped(listener.name, opened->skipped);
    const ServerSettings::Listener& its = settings.listeners[i];
    const CallServices services{listener.name,
                                std::make_shared<CurrentAuthenticator>(its.authenticator),
                                server->in_flight_,
                                issuer,
                                current,
                                std::holds_alternative<config::TokendUpstream>(config.upstream),
                                std::make_shared<CallLog>(listener.name, &metrics.recent())};
    const ListenerOptions options{MaxConnections(config.listeners.size()), listener.max_connections_per_peer,
                                  times};
    try {
      listeners.push_back(
          std::make_unique<Listener>(std::move(opened->sockets), services, its.tls, options, metrics));
    } catch (const std::system_error&) {
      return OfListener(listener.name, absl::ResourceExhaustedError("there is no free file descriptor"));
    }
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    if (Status status = listeners[i]->Start(); !status.ok())
      return OfListener(config.listeners[i].name, status);
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    for (const std::string& address : listeners[i]->addresses()) {
      telemetry::Log(config::LogLevel::kInfo, "listening",
                     {{"listener", config.listeners[i].name}, {"address", address}});
    }
  }
  return server;
}

Server::Server(const ServerSettings& settings, telemetry::Metrics& metrics)
    : in_flight_(std::make_shared<InFlightLimit>(settings.max_in_flight, PolicyOf(settings), metrics)) {}

Server::~Server() { Stop(std::chrono::milliseconds(0)); }

void Server::Apply(const ServerSettings& settings) {
  in_flight_->Resize(settings.max_in_flight, PolicyOf(settings));
  for (std::size_t i = 0; i < listeners_.size(); ++i) listeners_[i]->Apply(settings.listeners[i]);
}

void Server::SetServing(Serving serving) {
  if (draining_) serving = Serving::kNo;
  for (const auto& listener : listeners_) listener->SetServing(serving);
}

void Server::Drain() {
  draining_ = true;
  SetServing(Serving::kNo);
  for (const auto& listener : listeners_) listener->Drain();
}

bool Server::WaitDrained(std::chrono::steady_clock::time_point deadline) {
  const auto drained = [this] {
    return std::ranges::all_of(listeners_, [](const auto& listener) { return listener->connections() == 0; });
  };
  while (!drained()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kDrainPollInterval);
  }
  return WaitIdle(deadline);
}

void Server::Stop(std::chrono::milliseconds grace) {
  const auto deadline = std::chrono::steady_clock::now() + grace;
  for (const auto& listener : listeners_) listener->BeginStop(deadline);
  for (const auto& listener : listeners_) listener->AwaitStop();
}

std::map<std::string, identity::FetchedKeys> Server::fetched_keys() const {
  std::map<std::string, identity::FetchedKeys> fetched;
  for (const auto& listener : listeners_) {
    if (auto keys = listener->fetched_keys()) fetched.emplace(listener->name(), *std::move(keys));
  }
  return fetched;
}

std::vector<ListenerStatus> Server::listeners() const {
  std::vector<ListenerStatus> listeners;
  listeners.reserve(listeners_.size());
  for (const auto& listener : listeners_) {
    listeners.push_back({listener->name(), listener->addresses(), listener->connections(),
                         listener->certificate_not_after()});
  }
  return listeners;
}

std::vector<std::string> Server::addresses() const {
  std::vector<std::string> addresses;
  for (const auto& listener : listeners_) {
    addresses.insert(addresses.end(), listener->addresses().begin(), listener->addresses().end());
  }
  return addresses;
}

}  // namespace tokend::rpc
