#include "daemon/rpc/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <future>
#include <limits>
#include <system_error>
#include <utility>

#include "daemon/base/release_memory.h"
#include "daemon/base/thread.h"
#include "daemon/rpc/peer_address.h"
#include "daemon/rpc/reflection_service.h"
#include "daemon/rpc/token_service.h"
#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kEventsPerRun = 64;
constexpr int kAcceptsPerRun = 16;

// How long handshakes may run before established connections run again.
constexpr std::chrono::nanoseconds kMaxHandshakeTime = milliseconds(2);

// How long the listener stops accepting when the process has no free descriptor or memory.
constexpr milliseconds kAcceptPause{100};

// How often a crowded listener looks for connections without an authenticated call.
constexpr seconds kUnknownCallersInterval{1};

// When so many connections were closed, or so many bytes were freed with them, malloc_trim returns memory to
// the system.
constexpr std::size_t kClosedBeforeTrim = 16;
constexpr std::size_t kFreedBeforeTrim = std::size_t{1} << 20U;
constexpr seconds kTrimDelay{2};

// The log mentions each cause of closed connections at most this often.
constexpr seconds kReportInterval{1};

// When more addresses than this have a token bucket for handshakes, full buckets are removed.
constexpr std::size_t kMaxRememberedRates = 4096;

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// An address that may have many connections may also open all of them at once.
bounds::Rate HandshakeRateOf(const ListenerOptions& options) {
  bounds::Rate rate = bounds::kHandshakes;
  rate.burst = std::max(rate.burst, static_cast<double>(options.max_connections_per_peer.value_or(0)));
  return rate;
}

Descriptor MakeEpoll() {
  Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  if (epoll.get() < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  return epoll;
}

std::vector<std::string> AddressesOf(const std::vector<ListeningSocket>& sockets) {
  std::vector<std::string> addresses;
  addresses.reserve(sockets.size());
  for (const ListeningSocket& socket : sockets) addresses.push_back(socket.address());
  return addresses;
}

// Adds a descriptor (EPOLL_CTL_ADD), or changes the events that epoll waits for (EPOLL_CTL_MOD). False if the
// system has no memory for it.
bool Watch(const Descriptor& epoll, int operation, int descriptor, std::uint64_t id,
           std::uint32_t events = EPOLLIN) {
  epoll_event event{.events = events, .data = {.u64 = id}};
  return epoll_ctl(epoll.get(), operation, descriptor, &event) == 0;
}

}  // namespace

Listener::Listener(std::vector<ListeningSocket> sockets, CallServices services,
                   std::shared_ptr<const TlsContext> tls, const ListenerOptions& options,
                   telemetry::Metrics& metrics)
    : services_(std::move(services)),
      is_tls_(tls != nullptr),
      tls_(std::move(tls)),
      options_(options),
      metrics_(metrics),
      addresses_(AddressesOf(sockets)),
      sockets_(std::move(sockets)),
      context_{.routes = routes_,
               .metrics = metrics,
               .mailbox = std::make_shared<Mailbox>(),
               .times = options.times},
      epoll_(MakeEpoll()),
      shares_(options.max_connections),
      handshake_rate_(HandshakeRateOf(options)),
      resume_accepting_(context_.timers,
                        [this] {
                          if (!WatchSockets()) PauseAccepting();
                        }),
      retire_unknown_callers_(context_.timers, [this] { RetireUnknownCallers(); }),
      trim_memory_(context_.timers, [this] {
        closed_since_trim_ = 0;
        freed_since_trim_ = 0;
        ReturnFreeMemory();
      }) {
  if (is_tls_) ShowCertificateEnd(*tls_.Get());
  context_.identifies_caller = [this](const Peer& peer) { return IdentifiesCaller(peer); };
  health_.Add(routes_);
  AddTokenService(services_, routes_);
  AddReflectionService(services_, routes_);
  if (!Watch(epoll_, EPOLL_CTL_ADD, context_.mailbox->descriptor(), kMailbox) || !WatchSockets()) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

Listener::~Listener() {
  BeginStop(std::chrono::steady_clock::now());
  AwaitStop();
}

Status Listener::Start() {
  try {
    thread_ = StartThread("rpc:" + services_.listener, [this] { Run(); });
  } catch (const std::system_error&) {
    return absl::ResourceExhaustedError("cannot start the listener's thread; raise the limit of processes");
  }
  return absl::OkStatus();
}

void Listener::Apply(const ServerSettings::Listener& settings) {
  services_.authenticator->Set(settings.authenticator);
  if (!is_tls_) return;
  ShowCertificateEnd(*settings.tls);
  tls_.Set(settings.tls);
}

void Listener::ShowCertificateEnd(const TlsContext& tls) {
  metrics_.SetTlsCertificateEnd(services_.listener, tls.validity().not_after);
}

void Listener::SetServing(Serving serving) {
  context_.mailbox->Post([this, serving] { health_.SetServing(serving); });
}

void Listener::Drain() {
  const auto drain = [this] {
    StopAccepting();
    for (auto& [id, entry] : connections_) entry.connection->Retire(CloseCause::kDrain);
  };
  if (!thread_.joinable()) return drain();
  std::promise<void> done;
  const std::future<void> is_done = done.get_future();
  context_.mailbox->Post([&drain, done = std::move(done)]() mutable {
    drain();
    done.set_value();
  });
  // If the thread has ended, the task is destroyed without being run. Its promise is then broken, which ends
  // the wait too.
  is_done.wait();
}

void Listener::BeginStop(TimePoint deadline) {
  if (!thread_.joinable()) return StopAccepting();
  context_.mailbox->Post([this, deadline] {
    StopAccepting();
    stop_by_ = deadline;
    for (auto& [id, entry] : connections_) entry.connection->Stop(deadline);
  });
}

void Listener::AwaitStop() {
  if (thread_.joinable()) thread_.join();
}

void Listener::Run() {
  context_.mailbox->BindToThisThread();
  while (!stop_by_ || (!connections_.empty() && std::chrono::steady_clock::now() < *stop_by_)) RunOnce();
  for (auto& [id, entry] : connections_) entry.connection->CloseAtOnce(CloseCause::kDrain);
  context_.to_flush.clear();
  while (!connections_.empty()) Remove(connections_.begin()->first);
  context_.mailbox->Close();
  services_.call_log->WriteAll();
}

// One pass of the loop. Established connections run first, then handshakes for at most as long as the
// connections took.
void Listener::RunOnce() {
  std::array<epoll_event, kEventsPerRun> events;
  const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), WaitMs());
  const TimePoint begin = std::chrono::steady_clock::now();
  bool accepts = false;
  bool has_mail = false;
  std::size_t ready = pending_.size();  // connections
  for (const std::uint64_t id : std::exchange(pending_, {})) OnEvent(id, EPOLLIN);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kListeningSockets) {
      accepts = true;
    } else if (event.data.u64 == kMailbox) {
      has_mail = true;
    } else {
      ++ready;
      OnEvent(event.data.u64, event.events);
    }
  }
  context_.timers.Run(begin);
  services_.call_log->WriteDue(begin);
  if (has_mail) context_.mailbox->RunTasks([this] { EnforceByteLimits(); });
  FlushTouched();
  EnforceByteLimits();
  const bool is_free = !has_mail && handshakes_ready_.size() == ready;
  RunHandshakes(is_free ? kMaxHandshakeTime : std::chrono::steady_clock::now() - begin);
  if (accepts) Accept();
  FlushTouched();
}

int Listener::WaitMs() const {
  if (!pending_.empty()) return 0;
  std::optional<TimePoint> until = context_.timers.Next();
  for (const std::optional<TimePoint>& other : {services_.call_log->due(), stop_by_}) {
    if (other && (!until || *other < *until)) until = other;
  }
  if (!until) return -1;
  const auto wait = std::chrono::ceil<milliseconds>(*until - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, std::numeric_limits<int>::max()));
}

void Listener::OnEvent(std::uint64_t id, std::uint32_t events) {
  const auto entry = connections_.find(id);
  if (entry == connections_.end()) return;
  if (entry->second.is_handshake) {
    handshakes_ready_.push_back(id);
  } else {
    entry->second.connection->OnReady(events);
    UpdateEpoll(entry->second);
  }
}

// A step of a handshake can take milliseconds, so handshakes share the thread equally with established
// connections: `more` is the time that those took. epoll reports the handshakes that are left over again in
// the next pass.
void Listener::RunHandshakes(std::chrono::nanoseconds more) {
  handshake_time_ = std::min(handshake_time_ + more, kMaxHandshakeTime);
  for (const std::uint64_t id : std::exchange(handshakes_ready_, {})) {
    const auto entry = connections_.find(id);
    if (entry == connections_.end()) continue;
    if (handshake_time_.count() <= 0) return;
    const TimePoint begin = std::chrono::steady_clock::now();
    entry->second.connection->OnReady(EPOLLIN);
    if (!entry->second.connection->is_handshaking()) OnHandshakeEnd(entry->second);
    UpdateEpoll(entry->second);
    handshake_time_ -= std::chrono::steady_clock::now() - begin;
  }
}

void Listener::FlushTouched() {
  while (!context_.to_flush.empty()) {
    for (Connection* const connection : std::exchange(context_.to_flush, {})) {
      const auto entry = connections_.find(connection->id());
      connection->Flush();
      if (connection->is_closed()) {
        Remove(connection->id());
      } else {
        UpdateEpoll(entry->second);
      }
    }
  }
}

// Updates the events that epoll waits for.
void Listener::UpdateEpoll(Entry& entry) {
  Connection& connection = *entry.connection;
  if (connection.has_pending_work() &&
      std::find(pending_.begin(), pending_.end(), connection.id()) == pending_.end()) {
    pending_.push_back(connection.id());
  }
  if (connection.is_closed() || connection.interest() == entry.interest) return;
  entry.interest = connection.interest();
  Watch(epoll_, EPOLL_CTL_MOD, connection.socket(), connection.id(), entry.interest);
}

// False if the system has no memory for it.
bool Listener::WatchSockets() {
  return std::ranges::all_of(sockets_, [this](const ListeningSocket& socket) {
    return Watch(epoll_, EPOLL_CTL_ADD, socket.fd(), kListeningSockets);
  });
}

void Listener::Accept() {
  for (const ListeningSocket& socket : sockets_) AcceptOn(socket);
}

void Listener::AcceptOn(const ListeningSocket& listening) {
  for (int accepts = 0; accepts < kAcceptsPerRun; ++accepts) {
    Descriptor socket(accept4(listening.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.get() >= 0) {
      AddConnection(std::move(socket));
    } else if (IsShortage(errno)) {
      return PauseAccepting();
    } else if (errno == EAGAIN || errno == EINTR) {
      return;
    }
    // Other errors concern only the connection that could not be accepted (accept(2)).
  }
}

void Listener::PauseAccepting() {
  if (resume_accepting_.is_set()) return;
  telemetry::Log(
      config::LogLevel::kError, "accept_failed",
      {{"listener", services_.listener},
       {"detail", "no descriptor or memory for another connection; raise the limit of open files"}});
  for (const ListeningSocket& socket : sockets_) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.fd(), nullptr);
  }
  resume_accepting_.Set(std::chrono::steady_clock::now() + kAcceptPause);
}

void Listener::StopAccepting() {
  resume_accepting_.Cancel();
  sockets_.clear();  // epoll removes a descriptor when it is closed
}

void Listener::AddConnection(Descriptor socket) {
  Result<Peer> peer = PeerOf(socket.get());
  if (!peer.ok()) return;
  const std::string holder = ShareHolderOf(*peer);
  const bool may_shake_hands = !is_tls_ || TakeHandshake(*peer);
  if (!may_shake_hands || !MakeRoomFor(holder)) {
    const CloseCause cause = may_shake_hands ? CloseCause::kShare : CloseCause::kHandshakeRate;
    metrics_.ConnectionClosed(services_.listener, FactsOf(cause).name);
    if (is_tls_) metrics_.TlsHandshakeFailed();
    return;
  }
  if (is_tls_) LimitPendingHandshakes();
  const int yes = 1;  // fails on Unix sockets, which do not need it
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  std::unique_ptr<Transport> transport =
      is_tls_ ? MakeTlsTransport(socket.get(), *tls_.Get()) : MakePlainTransport(socket.get());
  const std::uint64_t id = ++last_id_;
  if (!transport || !Watch(epoll_, EPOLL_CTL_ADD, socket.get(), id)) return;
  if (is_tls_) handshakes_.TakeAnyway(peer->holder);
  Entry& entry = connections_[id];
  entry.connection =
      std::make_unique<Connection>(context_, id, std::move(socket), std::move(transport), *std::move(peer));
  entry.holder = holder;
  entry.is_handshake = is_tls_;
  entry.interest = EPOLLIN;
  shares_.TakeAnyway(holder);
  open_connections_ = connections_.size();
  metrics_.SetConnections(services_.listener, connections_.size());
  if (!is_tls_) {
    entry.connection->OnReady(EPOLLIN);
    UpdateEpoll(entry);
  }
  if (connections_.size() >= options_.max_connections / 2 && !retire_unknown_callers_.is_set()) {
    retire_unknown_callers_.Set(std::chrono::steady_clock::now() + kUnknownCallersInterval);
  }
}

template <class Which, class Key>
Listener::Entry* Listener::FindLeast(Which which, Key key) {
  Entry* least = nullptr;
  for (auto& [id, entry] : connections_) {
    if (which(entry) && (least == nullptr || key(entry) < key(*least))) least = &entry;
  }
  return least;
}

bool Listener::HasPlaceFor(std::string_view holder) const {
  if (!options_.max_connections_per_peer) return shares_.HasPlaceFor(holder);
  return shares_.taken() < shares_.places() && shares_.HeldBy(holder) < *options_.max_connections_per_peer;
}

// If no place is free for the holder, one connection without a running call is closed. It is one of the
// holder's own if the holder has used up its share, and one of the holder with the most connections
// otherwise. Among these, connections that never had an authenticated call or any call at all go first, then
// the oldest.
bool Listener::MakeRoomFor(std::string_view holder) {
  if (HasPlaceFor(holder)) return true;
  const std::size_t share = options_.max_connections_per_peer.value_or(shares_.places() / 4);
  const std::string from(shares_.HeldBy(holder) >= share ? holder : shares_.LargestHolder());
  const auto merit = [](const Entry& entry) {
    const Connection& connection = *entry.connection;
    return std::pair((connection.is_caller_known() ? 1 : 0) + (connection.has_had_calls() ? 1 : 0),
                     connection.id());
  };
  Entry* const victim = FindLeast(
      [&from](const Entry& entry) { return entry.holder == from && !entry.connection->has_calls(); }, merit);
  if (victim == nullptr) return false;
  CloseAtOnce(*victim, CloseCause::kShare);
  return HasPlaceFor(holder);
}

// Whether the address may begin another TLS handshake now: there is a maximum per second.
bool Listener::TakeHandshake(const Peer& peer) {
  const TimePoint now = std::chrono::steady_clock::now();
  if (handshake_rates_.size() >= kMaxRememberedRates) {
    absl::erase_if(handshake_rates_, [now](auto& rate) { return rate.second.IsFull(now); });
  }
  return handshake_rates_.try_emplace(peer.holder, handshake_rate_).first->second.TryTake(1, now);
}

// If the maximum of pending handshakes is reached, closes the oldest one of the address with the most.
void Listener::LimitPendingHandshakes() {
  if (handshakes_.taken() < handshakes_.places()) return;
  const std::string most(handshakes_.LargestHolder());
  Entry* const oldest = FindLeast(
      [&most](const Entry& entry) { return entry.is_handshake && entry.connection->peer().holder == most; },
      [](const Entry& entry) { return entry.connection->id(); });
  if (oldest != nullptr) CloseAtOnce(*oldest, CloseCause::kHandshakeRate);
}

std::string Listener::ShareHolderOf(const Peer& peer) const {
  // All Unix users that the listener does not know share one holder.
  const bool lists_users = peer.unix_uid && services_.authenticator->Get()->IsByConnection();
  return lists_users && !IdentifiesCaller(peer) ? "unlisted" : peer.holder;
}

// Whether the connection itself, without a call's metadata, identifies a known caller.
bool Listener::IdentifiesCaller(const Peer& peer) const {
  const auto authenticator = services_.authenticator->Get();
  if (!authenticator->IsByConnection()) return false;
  const auto known = std::make_shared<bool>(false);
  authenticator->Authenticate(EvidenceOf(peer),
                              [known](const Result<Caller>& caller) { *known = caller.ok(); });
  return *known;
}

// While half of the places are taken, retires connections that have had no authenticated call for too long.
void Listener::RetireUnknownCallers() {
  if (connections_.size() < options_.max_connections / 2) return;
  const TimePoint now = std::chrono::steady_clock::now();
  for (auto& [id, entry] : connections_) {
    Connection& connection = *entry.connection;
    if (!connection.is_caller_known() &&
        now - connection.accepted_at() >= context_.times.unknown_caller_crowded) {
      connection.Retire(CloseCause::kNoCaller);
    }
  }
  retire_unknown_callers_.Set(now + kUnknownCallersInterval);
}

// If the connections together hold too many bytes, closes the one that holds the most, until they do not.
void Listener::EnforceByteLimits() {
  const auto limit = [this](const std::size_t& total, std::size_t most,
                            std::size_t (Connection::*held)() const, CloseCause cause) {
    const auto held_by = [held](const Entry& entry) { return (*entry.connection.*held)(); };
    while (total > most) {
      Entry* const largest =
          FindLeast([](const Entry&) { return true; },
                    [&](const Entry& entry) { return -static_cast<std::int64_t>(held_by(entry)); });
      assert(largest != nullptr && held_by(*largest) > 0);  // `total` is the sum over the connections
      CloseAtOnce(*largest, cause);
    }
  };
  limit(context_.request_bytes, bounds::kMaxListenerRequestBytes, &Connection::request_bytes,
        CloseCause::kHeldRequests);
  limit(context_.answer_bytes, bounds::kMaxListenerAnswerBytes, &Connection::answer_bytes,
        CloseCause::kUnreadAnswers);
}

void Listener::OnHandshakeEnd(Entry& entry) {
  if (!std::exchange(entry.is_handshake, false)) return;
  handshakes_.GiveBack(entry.connection->peer().holder);
  if (entry.connection->cause()) metrics_.TlsHandshakeFailed();
}

void Listener::CloseAtOnce(Entry& entry, CloseCause cause) {
  entry.connection->CloseAtOnce(cause);
  Remove(entry.connection->id());
}

void Listener::Remove(std::uint64_t id) {
  const auto found = connections_.find(id);
  Entry entry = std::move(found->second);
  connections_.erase(found);
  std::erase(context_.to_flush, entry.connection.get());
  const CloseCause cause = entry.connection->cause().value_or(CloseCause::kDrain);
  LogClose(*entry.connection);
  OnHandshakeEnd(entry);
  metrics_.ConnectionClosed(services_.listener, FactsOf(cause).name);
  shares_.GiveBack(entry.holder);
  freed_since_trim_ += entry.connection->answer_bytes();
  ++closed_since_trim_;
  entry.connection.reset();
  open_connections_ = connections_.size();
  metrics_.SetConnections(services_.listener, connections_.size());
  const bool is_much = closed_since_trim_ >= kClosedBeforeTrim || freed_since_trim_ >= kFreedBeforeTrim;
  if (is_much && !trim_memory_.is_set()) {
    trim_memory_.Set(std::chrono::steady_clock::now() + kTrimDelay);
  }
}

// Logs suspicious causes, each at most once in kReportInterval. A refused client certificate counts apart: it
// is not lost among clients that show none.
void Listener::LogClose(const Connection& connection) {
  if (!connection.cause()) return;
  const CloseCause cause = *connection.cause();
  const bool is_refused = cause == CloseCause::kHandshake && !connection.handshake_error().empty();
  if (!is_refused && !FactsOf(cause).is_suspicious) return;
  const TimePoint now = std::chrono::steady_clock::now();
  TimePoint& last = logged_at_[{cause, !connection.refused_subject().empty()}];
  if (now - last < kReportInterval) return;
  last = now;
  telemetry::Log(config::LogLevel::kWarning, "connection_closed",
                 {{"listener", services_.listener},
                  {"peer", connection.peer().name},
                  {"cause", FactsOf(cause).name},
                  {"subject", connection.refused_subject()},
                  {"detail", connection.handshake_error()}});
}

}  // namespace tokend::rpc
