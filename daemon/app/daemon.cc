#include "daemon/app/daemon.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "daemon/app/file_watch.h"
#include "daemon/app/reloader.h"
#include "daemon/audit/open.h"
#include "daemon/issue/loop_issuer.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/rpc/server.h"
#include "daemon/state/memory_state.h"
#include "daemon/state/redis_connection.h"
#include "daemon/state/redis_state.h"
#include "daemon/telemetry/admin.h"
#include "daemon/telemetry/log.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/applivery.h"
#include "daemon/upstream/availability.h"

namespace tokend::app {
namespace {

using config::LogLevel;
using std::chrono::seconds;
using telemetry::Log;

// How long the record of the start may take.
constexpr seconds kStartDeadline{10};
// No outcome waits longer for its record than this, or the audit log is out of order anyway.
constexpr std::chrono::minutes kLongestRecording{1};
// How long the start waits for Redis, and how often it looks.
constexpr seconds kStateDeadline{5};
constexpr std::chrono::milliseconds kStateLook{10};
// How long calls that were stopped may take to write their last record.
constexpr seconds kLastRecords{5};
// How long connections whose calls are all answered may take to close.
constexpr seconds kConnectionGrace{1};

// Files that have changed are read once they have been left alone for this long, or after the longest wait.
constexpr std::chrono::milliseconds kSettle{100};
constexpr seconds kLongestSettling{1};
// Files are looked at this often also where the kernel tells of no change, as on some network file systems.
constexpr std::chrono::milliseconds kLookAnyway{30000};
constexpr int kMaxReloadRounds = 3;

audit::OpenOptions AuditOptions(const config::Config& config, telemetry::Metrics& metrics) {
  audit::OpenOptions options;
  options.config = config.fingerprint;
  options.remember = config.requests.remember;
  options.keep_for = config.requests.remember + config.applivery.timeout + kLongestRecording;
  options.hooks.on_health = [](audit::Health health, std::string_view words) {
    const bool writable = health == audit::Health::kWritable;
    Log(writable ? LogLevel::kInfo : LogLevel::kError, writable ? "audit.recovered" : "audit.failed",
        {{"detail", words}});
  };
  options.hooks.on_checkpoint = [](std::uint64_t sequence, std::string_view prev) {
    Log(LogLevel::kInfo, "audit.checkpoint", {{"seq", static_cast<std::int64_t>(sequence)}, {"prev", prev}});
  };
  options.hooks.on_durable = [&metrics](std::chrono::nanoseconds took) { metrics.AuditAppended(took); };
  return options;
}

// What the log knows of earlier runs, the ledger knows again: those ids never lead to a second POST.
void Restore(const std::vector<audit::PastRequest>& past, const loop::Clock& clock, state::State& state) {
  for (const audit::PastRequest& request : past) {
    // A clock that was set back must not make an intent lie ahead.
    const auto age = std::max(std::chrono::ceil<std::chrono::nanoseconds>(clock.WallNow() - request.time),
                              std::chrono::nanoseconds(0));
    state.Restore(request.request_id,
                  state::DigestOf(request.caller, request.organization, request.application, request.scopes,
                                  request.description),
                  {.reason = Reason::kOutcomeUnknown,
                   .detail = "its token may have been created before a restart that lost the bearer",
                   .audit_sequence = request.ended_by},
                  clock.Now() - age);
  }
}

state::Observer StateObserver(telemetry::Metrics& metrics) {
  return {
      .on_entries = [&metrics](std::size_t entries) { metrics.SetLedgerEntries(entries); },
      .on_queue = [&metrics](const std::string& organization,
                             std::size_t waiting) { metrics.SetTurnQueue(organization, waiting); },
      .on_turn = [&metrics](std::chrono::nanoseconds waited) { metrics.TurnCame(waited); },
      .on_reach =
          [&metrics](const Status& reach) {
            metrics.SetRedisReachable(reach.ok());
            Log(reach.ok() ? LogLevel::kInfo : LogLevel::kWarning,
                reach.ok() ? "redis.reached" : "redis.unreachable",
                {{"detail", std::string(reach.message())}});
          },
  };
}

upstream::Availability::OnChange AvailabilityObserver(telemetry::Metrics& metrics) {
  using Blocks = std::set<std::pair<std::string, Block>>;
  return [&metrics, begun = Blocks()](const std::string& organization, Block block, bool blocked) mutable {
    metrics.SetBlocked(organization, block, blocked);
    // A block that has not begun does not end.
    if (!blocked && begun.erase({organization, block}) == 0) return;
    if (blocked) begun.emplace(organization, block);
    const BlockFacts& facts = FactsOf(block);
    Log(blocked ? LogLevel::kWarning : LogLevel::kInfo, blocked ? facts.begin_event : facts.end_event,
        {{"organization", organization}});
  };
}

// What the log says of the daemon's own life: its start before it serves, and its stop after all else, also
// where it could not come to serve.
class RecordedRun {
 public:
  explicit RecordedRun(audit::QueuedAuditLog& audit) : audit_(audit) {}
  ~RecordedRun() {
    if (running_) (void)Stop();
  }
  RecordedRun(const RecordedRun&) = delete;
  RecordedRun& operator=(const RecordedRun&) = delete;

  Status Start() {
    auto durable = std::make_shared<std::promise<Status>>();
    std::future<Status> written = durable->get_future();
    audit_.Append(RecordOf(audit::event::kDaemonStarted), [durable](const Result<std::uint64_t>& sequence) {
      durable->set_value(sequence.status());
    });
    if (written.wait_for(kStartDeadline) != std::future_status::ready) {
      return absl::DeadlineExceededError("audit: the record of the daemon's start is not durable in time");
    }
    Status started = written.get();
    running_ = started.ok();
    return started;
  }

  Status Stop() {
    running_ = false;
    return audit_.Stop(RecordOf(audit::event::kDaemonStopped));
  }

 private:
  static audit::Record RecordOf(const char* event) {
    audit::Record record;
    record.set_event(event);
    return record;
  }

  audit::QueuedAuditLog& audit_;
  bool running_ = false;
};

// Whether the daemon was told to stop before it takes signals.
bool IsStopPending() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

// Waits for so long, or until the daemon is told once more to stop.
void WaitUnlessStopped(std::chrono::milliseconds time) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  const auto whole = std::chrono::floor<seconds>(time);
  const timespec timeout{whole.count(), std::chrono::nanoseconds(time - whole).count()};
  sigtimedwait(&signals, nullptr, &timeout);
}

// The loop turns for as long as this lives.
class RunningLoop {
 public:
  explicit RunningLoop(loop::CurlLoop& loop) : loop_(loop) { loop_.Start(); }
  ~RunningLoop() { loop_.Stop(); }
  RunningLoop(const RunningLoop&) = delete;
  RunningLoop& operator=(const RunningLoop&) = delete;

 private:
  loop::CurlLoop& loop_;
};

// Where request_ids and limits live.
class StateHome {
 public:
  // `secrets`: those of Redis, where it is Redis.
  StateHome(const config::Config& config, std::optional<state::RedisSecrets> secrets, loop::EventLoop& loop,
            state::Observer observer) {
    const auto* redis = std::get_if<config::RedisState>(&config.state);
    if (redis == nullptr) {
      state_ = std::make_unique<state::MemoryState>(loop, config.requests, std::move(observer));
      return;
    }
    redis_.emplace(loop, state::RedisConnection::Options{.address = redis->address,
                                                         .username = redis->username,
                                                         .password = std::move(secrets->password)});
    auto shared = std::make_unique<state::RedisState>(
        loop, *redis_,
        state::RedisState::Options{config.requests, redis->on_failure, std::move(secrets->encryption_key)},
        std::move(observer));
    shared_ = shared.get();
    state_ = std::move(shared);
  }

  state::State& state() { return *state_; }

  // Waits, but not for long, until requests can be admitted: a replica that starts beside a Redis that works
  // refuses none.
  void AwaitReach() const {
    const auto deadline = std::chrono::steady_clock::now() + kStateDeadline;
    while (shared_ != nullptr && !shared_->reach().ok() && std::chrono::steady_clock::now() < deadline &&
           !IsStopPending()) {
      std::this_thread::sleep_for(kStateLook);
    }
  }

 private:
  std::optional<state::RedisConnection> redis_;
  std::unique_ptr<state::State> state_;
  const state::RedisState* shared_ = nullptr;  // the same, where it is in Redis
};

std::vector<telemetry::Check> Checks(const std::atomic<bool>& serving, const audit::QueuedAuditLog& audit,
                                     const state::State& state) {
  return {
      {"state", [&state] { return state.health(); }},
      {"serving",
       [&serving]() -> Status {
         return serving ? absl::OkStatus() : absl::UnavailableError("starting or draining");
       }},
      {"audit",
       [&audit]() -> Status {
         return audit.healthy() ? absl::OkStatus() : absl::UnavailableError("records cannot be made durable");
       }},
  };
}

Result<std::unique_ptr<telemetry::AdminServer>> StartAdmin(
    const config::Config& config, std::vector<telemetry::Check> checks, const issue::CurrentConfig& current,
    const Reloader& reloader, const upstream::Availability& availability, const telemetry::Metrics& metrics) {
  if (!config.admin) return nullptr;
  const auto configuration = [&current, &reloader] {
    return current.Get()->fingerprint +
           (reloader.rejected() ? ", the last reload was rejected: what the files say now is not in effect"
                                : "");
  };
  auto admin = telemetry::AdminServer::Start(
      {*config.admin, configuration, std::move(checks), [&availability] { return availability.Troubles(); }},
      metrics);
  if (!admin.ok()) return admin;
  const std::string address = ToString(config::TcpAddress{config.admin->host, (*admin)->port()});
  Log(LogLevel::kInfo, "listening", {{"listener", "admin"}, {"address", address}});
  return admin;
}

// No request goes upstream from here on, and each that had gone has its answer.
void EndCalls(loop::EventLoop& loop, issue::LiveCalls& live, upstream::Upstream& upstream) {
  auto ended = std::make_shared<std::promise<void>>();
  loop.Post([&live, &upstream, ended] {
    live.Stop();
    upstream.Stop();
    ended->set_value();
  });
  ended->get_future().wait_for(kLastRecords);
}

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

enum class Asked { kNothing, kReload, kStop };

Asked TakeSignals(int signals) {
  Asked asked = Asked::kNothing;
  for (signalfd_siginfo signal{}; read(signals, &signal, sizeof(signal)) == sizeof(signal);) {
    if (signal.ssi_signo != SIGHUP) return Asked::kStop;
    asked = Asked::kReload;
  }
  return asked;
}

// Again where what was read names other files: those were not watched yet while they were read.
void Reload(Reloader& reloader, FileWatch& watch) {
  std::vector<std::string> watched;
  for (int round = 0; round < kMaxReloadRounds && watched != reloader.files(); ++round) {
    watched = reloader.files();
    watch.Watch(watched);
    reloader.Reload();
  }
}

// Reloads on SIGHUP and when a file has changed; returns when it is time to stop.
void ReloadUntilStop(Reloader& reloader) {
  const sigset_t blocked = Signals();
  const int signals = signalfd(-1, &blocked, SFD_NONBLOCK | SFD_CLOEXEC);
  const absl::Cleanup close_signals = [signals] { close(signals); };
  FileWatch watch;
  Reload(reloader, watch);  // what has changed since the start
  std::optional<std::chrono::steady_clock::time_point> changing_since;
  while (true) {
    std::array<pollfd, 2> ready = {{{signals, POLLIN, 0}, {watch.descriptor(), POLLIN, 0}}};
    const std::chrono::milliseconds wait = changing_since ? kSettle : kLookAnyway;
    poll(ready.data(), ready.size(), static_cast<int>(wait.count()));
    const Asked asked = TakeSignals(signals);
    if (asked == Asked::kStop) return;
    const bool changed = watch.Changed();
    const auto now = std::chrono::steady_clock::now();
    // One change is often several files, one after the other.
    const bool settled =
        ready[1].revents == 0 || (changing_since && now - *changing_since >= kLongestSettling);
    if (asked == Asked::kReload || (changed && settled)) {
      Log(LogLevel::kInfo, "reloading", {{"detail", changed ? "a file has changed" : "SIGHUP"}});
      Reload(reloader, watch);
      changing_since.reset();
    } else if (changed) {
      if (!changing_since) changing_since = now;
    } else {
      changing_since.reset();
    }
  }
}

}  // namespace

void BlockSignals() {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Status Run(const std::string& path, Settings settings) {
  const config::Config& config = settings.config;
  for (const std::string& warning : config.warnings) {
    Log(LogLevel::kWarning, "config.warning", {{"detail", warning}});
  }
  telemetry::Metrics metrics;
  issue::LiveCalls live;
  loop::CurlLoop loop;

  Result<audit::Opened> opened =
      audit::OpenAuditLog(config.audit, settings.audit_keys, AuditOptions(config, metrics), loop);
  if (!opened.ok()) return opened.status();
  audit::QueuedAuditLog& audit = *opened->log;

  issue::CurrentConfig current(SnapshotOf(config));
  upstream::Availability availability(loop, settings.api_keys, AvailabilityObserver(metrics));
  issue::Pacing pacing{
      .slots = issue::UpstreamSlots(config.applivery.max_in_flight),
      .retries = issue::RetryPolicy([&metrics](const std::string& organization, double retries) {
        metrics.SetRetryBudget(organization, retries);
      })};
  StateHome home(config, std::exchange(settings.redis, std::nullopt), loop, StateObserver(metrics));
  state::State& state = home.state();
  Restore(opened->past, loop.clock(), state);

  const std::unique_ptr<loop::HttpClient> http = loop.NewHttpClient(upstream::HttpOptions(config.applivery));
  upstream::AppliveryUpstream upstream(config.applivery, settings.api_keys, loop, *http,
                                       [&metrics](int status, std::chrono::nanoseconds latency) {
                                         metrics.UpstreamAnswered(status, latency);
                                       });

  issue::LoopIssuer issuer({loop, current, state, pacing, audit, availability, upstream, metrics, live});

  const RunningLoop running(loop);
  RecordedRun run(audit);
  if (Status started = run.Start(); !started.ok()) return started;

  home.AwaitReach();
  std::atomic<bool> serving = false;
  auto server = rpc::Server::Start(config, settings.edge, issuer, current, metrics);
  if (!server.ok()) return server.status();
  Reloader reloader(path, std::move(settings),
                    {current, audit, **server, loop, upstream, availability, metrics});
  auto admin = StartAdmin(reloader.settings().config, Checks(serving, audit, state), current, reloader,
                          availability, metrics);
  if (!admin.ok()) return admin.status();

  (*server)->SetServing(rpc::Serving::kYes);
  serving = true;
  Log(LogLevel::kInfo, "serving", {{"version", TOKEND_VERSION}, {"config", current.Get()->fingerprint}});
  ReloadUntilStop(reloader);

  Log(LogLevel::kInfo, "draining", {});
  serving = false;
  (*server)->SetServing(rpc::Serving::kNo);
  const config::Server& times = reloader.settings().config.server;
  WaitUnlessStopped(times.drain_delay);
  (*server)->Drain();
  const auto drained_by = loop.clock().Now() + times.drain;
  if (!(*server)->WaitDrained(drained_by) || !live.WaitNone(drained_by)) {
    Log(LogLevel::kWarning, "drain.overdue", {{"detail", "ending the calls that still run"}});
  }
  EndCalls(loop, live, upstream);
  live.WaitNone(loop.clock().Now() + kLastRecords);
  (*server)->Stop(kConnectionGrace);
  Status stopped = run.Stop();
  Log(LogLevel::kInfo, "stopped", {});
  return stopped;
}

}  // namespace tokend::app
