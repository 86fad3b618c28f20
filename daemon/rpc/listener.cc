#include "daemon/rpc/listener.h"

#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <future>
#include <limits>
#include <system_error>
#include <utility>

#include "daemon/base/thread.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/peer_address.h"
#include "daemon/telemetry/log.h"

namespace tokend::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kEventsPerTurn = 64;
constexpr int kAcceptsPerTurn = 16;

// What epoll says is ready, beside connections, whose ids begin after these.
constexpr std::uint64_t kListeningSocket = 0;
constexpr std::uint64_t kMailbox = 1;

// What handshakes may take of the thread before established connections are looked at again.
constexpr std::chrono::nanoseconds kMaxHandshakeTime = milliseconds(2);

// How long connections are left in the system's queue where the process has no room for them.
constexpr milliseconds kAcceptPause{100};

// How often a crowded listener looks for connections that have shown no caller.
constexpr seconds kStrangersInterval{1};

// After so many connections are gone, or so many bytes with them, their memory is given back to the system.
constexpr std::size_t kClosedBeforeTrim = 16;
constexpr std::size_t kFreedBeforeTrim = std::size_t{1} << 20U;
constexpr seconds kTrimDelay{2};

// The log says of a cause at most this often that it closed connections.
constexpr seconds kReportInterval{1};

// Addresses whose rate of handshakes is remembered before those that are at rest are forgotten.
constexpr std::size_t kMaxRememberedRates = 4096;

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// An address that may have many connections may also begin them at once.
bounds::Rate HandshakeRateOf(const ListenerOptions& options) {
  bounds::Rate rate = bounds::kHandshakes;
  rate.burst = std::max(rate.burst, static_cast<double>(options.max_connections_per_peer.value_or(0)));
  return rate;
}

int MakeEpoll() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  return epoll;
}

// False: the system has no memory for it.
bool Add(int epoll, int descriptor, std::uint64_t id) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

}  // namespace

Listener::Listener(ListeningSocket socket, CallServices services,
                   std::shared_ptr<const Current<TlsContext>> tls, const ListenerOptions& options,
                   telemetry::Metrics& metrics,
                   const std::function<void(const CallServices&, Routes&)>& add_routes)
    : services_(std::move(services)),
      tls_(std::move(tls)),
      options_(options),
      metrics_(metrics),
      address_(socket.address()),
      socket_(std::move(socket)),
      context_{.routes = routes_,
               .metrics = metrics,
               .mailbox = std::make_shared<Mailbox>(),
               .times = options.times},
      epoll_(MakeEpoll()),
      last_id_(kMailbox),
      shares_(options.max_connections),
      handshake_rate_(HandshakeRateOf(options)),
      resume_accepting_(context_.timers,
                        [this] {
                          if (!Add(epoll_, socket_->fd(), kListeningSocket)) PauseAccepting();
                        }),
      retire_strangers_(context_.timers, [this] { RetireStrangers(); }),
      trim_memory_(context_.timers, [this] {
        closed_since_trim_ = 0;
        freed_since_trim_ = 0;
        malloc_trim(0);
      }) {
  context_.shows_caller = [this](const Peer& peer) { return ShowsCaller(peer); };
  health_.Add(routes_);
  add_routes(services_, routes_);
  if (!Add(epoll_, context_.mailbox->descriptor(), kMailbox) ||
      !Add(epoll_, socket_->fd(), kListeningSocket)) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

Listener::~Listener() {
  BeginStop(std::chrono::steady_clock::now());
  AwaitStop();
  connections_.clear();
  close(epoll_);
}

Status Listener::Start() {
  try {
    thread_ = StartThread("rpc:" + services_.listener, [this] { Run(); });
  } catch (const std::system_error&) {
    return absl::ResourceExhaustedError("there is no thread for the listener; raise the limit of processes");
  }
  return absl::OkStatus();
}

void Listener::SetServing(Serving serving) {
  context_.mailbox->Post([this, serving] { health_.SetServing(serving); });
}

void Listener::Drain() {
  InThread([this] {
    StopAccepting();
    for (auto& [id, held] : connections_) held.connection->Retire(CloseCause::kDrain);
  });
}

void Listener::BeginStop(TimePoint deadline) {
  if (!thread_.joinable()) return StopAccepting();
  context_.mailbox->Post([this, deadline] {
    StopAccepting();
    stop_by_ = deadline;
    for (auto& [id, held] : connections_) held.connection->Stop(deadline);
  });
}

void Listener::AwaitStop() {
  if (thread_.joinable()) thread_.join();
}

// Runs the task on the listener's thread and waits for it.
void Listener::InThread(absl::AnyInvocable<void()> task) {
  if (!thread_.joinable()) return task();
  std::promise<void> done;
  context_.mailbox->Post([&task, &done] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

void Listener::Run() {
  context_.mailbox->Own();
  while (!stop_by_ || (!connections_.empty() && std::chrono::steady_clock::now() < *stop_by_)) Turn();
  for (auto& [id, held] : connections_) held.connection->CloseAtOnce(CloseCause::kDrain);
  context_.touched.clear();
  while (!connections_.empty()) Remove(connections_.begin()->first);
  context_.mailbox->Close();
}

// Established connections come first; then handshakes, for at most as long as those took.
void Listener::Turn() {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), WaitMs());
  const TimePoint begin = std::chrono::steady_clock::now();
  bool accepts = false;
  bool has_mail = false;
  std::size_t ready = unread_.size();  // connections
  for (const std::uint64_t id : std::exchange(unread_, {})) OnEvent(id, EPOLLIN);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kListeningSocket) {
      accepts = true;
    } else if (event.data.u64 == kMailbox) {
      has_mail = true;
    } else {
      ++ready;
      OnEvent(event.data.u64, event.events);
    }
  }
  context_.timers.Run(begin);
  if (has_mail) context_.mailbox->RunTasks([this] { LimitHeld(); });
  FlushTouched();
  LimitHeld();
  const bool is_free = !has_mail && handshakes_ready_.size() == ready;
  RunHandshakes(is_free ? kMaxHandshakeTime : std::chrono::steady_clock::now() - begin);
  if (accepts && socket_) Accept();
  FlushTouched();
}

int Listener::WaitMs() const {
  if (!unread_.empty()) return 0;
  std::optional<TimePoint> until = context_.timers.Next();
  if (stop_by_ && (!until || *stop_by_ < *until)) until = stop_by_;
  if (!until) return -1;
  const auto wait = std::chrono::ceil<milliseconds>(*until - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, std::numeric_limits<int>::max()));
}

void Listener::OnEvent(std::uint64_t id, std::uint32_t events) {
  const auto held = connections_.find(id);
  if (held == connections_.end()) return;
  if (held->second.is_handshake) {
    handshakes_ready_.push_back(id);
  } else {
    held->second.connection->OnReady(events);
    Update(held->second);
  }
}

// One step of a handshake may take milliseconds. If established connections are ready too, handshakes get as
// much time as those took. epoll reports the remaining handshakes again, after connections that became ready.
void Listener::RunHandshakes(std::chrono::nanoseconds more) {
  handshake_time_ = std::min(handshake_time_ + more, kMaxHandshakeTime);
  for (const std::uint64_t id : std::exchange(handshakes_ready_, {})) {
    const auto held = connections_.find(id);
    if (held == connections_.end()) continue;
    if (handshake_time_.count() <= 0) return;
    const TimePoint begin = std::chrono::steady_clock::now();
    held->second.connection->OnReady(EPOLLIN);
    if (!held->second.connection->is_handshaking()) EndHandshake(held->second);
    Update(held->second);
    handshake_time_ -= std::chrono::steady_clock::now() - begin;
  }
}

void Listener::FlushTouched() {
  while (!context_.touched.empty()) {
    for (Connection* const connection : std::exchange(context_.touched, {})) {
      const auto held = connections_.find(connection->id());
      connection->Flush();
      if (connection->is_closed()) {
        Remove(connection->id());
      } else {
        Update(held->second);
      }
    }
  }
}

// Tells epoll what the connection waits for now.
void Listener::Update(Held& held) {
  Connection& connection = *held.connection;
  if (connection.has_more() && std::find(unread_.begin(), unread_.end(), connection.id()) == unread_.end()) {
    unread_.push_back(connection.id());
  }
  if (connection.is_closed() || connection.interest() == held.interest) return;
  held.interest = connection.interest();
  epoll_event event{};
  event.events = held.interest;
  event.data.u64 = connection.id();
  epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket(), &event);
}

void Listener::Accept() {
  for (int accepts = 0; accepts < kAcceptsPerTurn; ++accepts) {
    const int socket = accept4(socket_->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket >= 0) {
      Admit(socket);
    } else if (IsShortage(errno)) {
      return PauseAccepting();
    } else if (errno == EAGAIN || errno == EINTR) {
      return;
    }
    // Anything else is the end of that one connection (accept(2)).
  }
}

void Listener::PauseAccepting() {
  telemetry::Log(config::LogLevel::kError, "accept_failed",
                 {{"listener", services_.listener},
                  {"detail", "no room for another connection; raise the limit of open files"}});
  epoll_ctl(epoll_, EPOLL_CTL_DEL, socket_->fd(), nullptr);
  resume_accepting_.Set(std::chrono::steady_clock::now() + kAcceptPause);
}

void Listener::StopAccepting() {
  resume_accepting_.Cancel();
  socket_.reset();  // epoll forgets a descriptor that is closed
}

void Listener::Admit(int socket) {
  Result<Peer> peer = PeerOf(socket);
  if (!peer.ok()) {
    close(socket);
    return;
  }
  const bool is_tls = tls_ != nullptr;
  const std::string holder = ShareHolderOf(*peer);
  const bool may_shake_hands = !is_tls || SpendHandshake(*peer);
  if (!may_shake_hands || !MakeRoom(holder)) {
    const CloseCause cause = may_shake_hands ? CloseCause::kShare : CloseCause::kHandshakeRate;
    metrics_.ConnectionClosed(services_.listener, Name(cause));
    if (is_tls) metrics_.TlsHandshakeFailed();
    close(socket);
    return;
  }
  if (is_tls) LimitHandshakes();
  const int yes = 1;  // refused by unix sockets, which need it not
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  std::unique_ptr<Transport> transport =
      is_tls ? MakeTlsTransport(socket, *tls_->Get()) : MakePlainTransport(socket);
  const std::uint64_t id = ++last_id_;
  if (!transport || !Add(epoll_, socket, id)) {
    transport.reset();
    close(socket);
    return;
  }
  const std::string address = peer->holder;
  Held& held = connections_[id];
  held.connection =
      std::make_unique<Connection>(context_, id, socket, std::move(transport), *std::move(peer));
  held.holder = holder;
  held.is_handshake = is_tls;
  held.interest = EPOLLIN;
  shares_.TakeAnyway(holder);
  open_connections_ = connections_.size();
  metrics_.SetConnections(services_.listener, connections_.size());
  if (is_tls) {
    ++handshakes_[address];
    ++handshakes_under_way_;
  } else {
    held.connection->OnReady(EPOLLIN);
    Update(held);
  }
  if (connections_.size() >= options_.max_connections / 2 && !retire_strangers_.is_set()) {
    retire_strangers_.Set(std::chrono::steady_clock::now() + kStrangersInterval);
  }
}

template <class Which, class Key>
Listener::Held* Listener::LeastOf(Which which, Key key) {
  Held* least = nullptr;
  for (auto& [id, held] : connections_) {
    if (which(held) && (least == nullptr || key(held) < key(*least))) least = &held;
  }
  return least;
}

bool Listener::HasPlaceFor(std::string_view holder) const {
  if (!options_.max_connections_per_peer) return shares_.HasPlaceFor(holder);
  return shares_.taken() < shares_.places() && shares_.HeldBy(holder) < *options_.max_connections_per_peer;
}

// Where there is no place, a connection without a call gives way: the newcomer's own oldest where it has its
// share, else the oldest of the holder with most. One that has shown no caller goes first, then one that has
// never made a call.
bool Listener::MakeRoom(std::string_view holder) {
  if (HasPlaceFor(holder)) return true;
  const std::size_t share = options_.max_connections_per_peer.value_or(shares_.places() / 4);
  const std::string from(shares_.HeldBy(holder) >= share ? holder : shares_.LargestHolder());
  const auto merit = [](const Held& held) {
    const Connection& connection = *held.connection;
    return std::pair((connection.has_shown_caller() ? 1 : 0) + (connection.has_had_calls() ? 1 : 0),
                     connection.id());
  };
  Held* const victim = LeastOf(
      [&from](const Held& held) { return held.holder == from && !held.connection->has_calls(); }, merit);
  if (victim == nullptr) return false;
  CloseAtOnce(*victim, CloseCause::kShare);
  return HasPlaceFor(holder);
}

// At most so many a second of one address.
bool Listener::SpendHandshake(const Peer& peer) {
  const TimePoint now = std::chrono::steady_clock::now();
  if (handshake_rates_.size() >= kMaxRememberedRates) {
    absl::erase_if(handshake_rates_, [now](auto& rate) { return rate.second.IsFull(now); });
  }
  return handshake_rates_.try_emplace(peer.holder, handshake_rate_).first->second.Spend(1, now);
}

// At most so many under way: past it the oldest of the address with most gives way.
void Listener::LimitHandshakes() {
  if (handshakes_under_way_ < bounds::kMaxHandshakes) return;
  const std::string most =
      std::max_element(handshakes_.begin(), handshakes_.end(), [](const auto& a, const auto& b) {
        return a.second < b.second;
      })->first;
  Held* const oldest = LeastOf(
      [&most](const Held& held) { return held.is_handshake && held.connection->peer().holder == most; },
      [](const Held& held) { return held.connection->id(); });
  if (oldest != nullptr) CloseAtOnce(*oldest, CloseCause::kHandshakeRate);
}

std::string Listener::ShareHolderOf(const Peer& peer) const {
  // All users that the listener does not list count as one.
  const bool lists_users = peer.unix_uid && services_.authenticator->Get()->IsByConnection();
  return lists_users && !ShowsCaller(peer) ? "unlisted" : peer.holder;
}

// Whether the connection by itself shows who calls.
bool Listener::ShowsCaller(const Peer& peer) const {
  const auto authenticator = services_.authenticator->Get();
  if (!authenticator->IsByConnection()) return false;
  const auto known = std::make_shared<bool>(false);
  authenticator->Authenticate(EvidenceOf(peer),
                              [known](const Result<Caller>& caller) { *known = caller.ok(); });
  return *known;
}

// Closes connections that have shown no caller for long, while more than half of the places are taken.
void Listener::RetireStrangers() {
  if (connections_.size() < options_.max_connections / 2) return;
  const TimePoint now = std::chrono::steady_clock::now();
  for (auto& [id, held] : connections_) {
    Connection& connection = *held.connection;
    if (!connection.has_shown_caller() && now - connection.began() >= context_.times.stranger_crowded) {
      connection.Retire(CloseCause::kNoCaller);
    }
  }
  retire_strangers_.Set(now + kStrangersInterval);
}

// Past what the listener may hold for its clients, the connection that holds most gives way.
void Listener::LimitHeld() {
  const auto limit = [this](const std::size_t& total, std::size_t most, auto held_by, CloseCause cause) {
    while (total > most) {
      CloseAtOnce(*LeastOf([](const Held&) { return true; },
                           [&](const Held& held) { return -static_cast<std::int64_t>(held_by(held)); }),
                  cause);
    }
  };
  limit(
      context_.request_bytes, bounds::kMaxListenerRequestBytes,
      [](const Held& held) { return held.connection->request_bytes(); }, CloseCause::kHeldRequests);
  limit(
      context_.answer_bytes, bounds::kMaxListenerAnswerBytes,
      [](const Held& held) { return held.connection->answer_bytes(); }, CloseCause::kUnreadAnswers);
}

void Listener::EndHandshake(Held& held) {
  if (!std::exchange(held.is_handshake, false)) return;
  --handshakes_under_way_;
  const auto of_address = handshakes_.find(held.connection->peer().holder);
  if (--of_address->second == 0) handshakes_.erase(of_address);
  const auto& cause = held.connection->cause();
  if (cause) metrics_.TlsHandshakeFailed();
}

void Listener::CloseAtOnce(Held& held, CloseCause cause) {
  held.connection->CloseAtOnce(cause);
  Remove(held.connection->id());
}

void Listener::Remove(std::uint64_t id) {
  const auto found = connections_.find(id);
  Held held = std::move(found->second);
  connections_.erase(found);
  std::erase(context_.touched, held.connection.get());
  const CloseCause cause = held.connection->cause().value_or(CloseCause::kDrain);
  Report(*held.connection);
  EndHandshake(held);
  metrics_.ConnectionClosed(services_.listener, Name(cause));
  shares_.GiveBack(held.holder);
  freed_since_trim_ += held.connection->answer_bytes();
  ++closed_since_trim_;
  held.connection.reset();
  open_connections_ = connections_.size();
  metrics_.SetConnections(services_.listener, connections_.size());
  const bool is_much = closed_since_trim_ >= kClosedBeforeTrim || freed_since_trim_ >= kFreedBeforeTrim;
  if (is_much && !trim_memory_.is_set()) {
    trim_memory_.Set(std::chrono::steady_clock::now() + kTrimDelay);
  }
}

// What an operator should know of, but not once for each connection of a flood.
void Listener::Report(const Connection& connection) {
  if (!connection.cause()) return;
  const CloseCause cause = *connection.cause();
  const bool is_refused = cause == CloseCause::kHandshake && !connection.handshake_error().empty();
  if (!is_refused && !IsSuspicious(cause)) return;
  const TimePoint now = std::chrono::steady_clock::now();
  TimePoint& last = reported_[cause];
  if (now - last < kReportInterval) return;
  last = now;
  telemetry::Log(config::LogLevel::kWarning, "connection_closed",
                 {{"listener", services_.listener},
                  {"peer", connection.peer().name},
                  {"cause", Name(cause)},
                  {"detail", connection.handshake_error()}});
}

}  // namespace tokend::rpc
