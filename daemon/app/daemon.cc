#include "daemon/app/daemon.h"

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/app/admin_page.h"
#include "daemon/app/limit_levels.h"
#include "daemon/app/observers.h"
#include "daemon/app/readiness.h"
#include "daemon/app/reloader.h"
#include "daemon/app/service_manager.h"
#include "daemon/app/signals.h"
#include "daemon/app/state_factory.h"
#include "daemon/app/upstream_factory.h"
#include "daemon/audit/open.h"
#include "daemon/issue/loop_issuer.h"
#include "daemon/rpc/server.h"
#include "daemon/telemetry/log.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"

namespace tokend::app {
namespace {

using config::LogLevel;
using std::chrono::seconds;
using telemetry::Log;

// Recording an outcome takes less than this, or the audit log has failed.
constexpr std::chrono::minutes kLongestRecording{1};
constexpr seconds kLongestStart{10};
// How long calls that were stopped may take to write their last record.
constexpr seconds kLastRecords{5};
// How long connections whose calls are all answered may take to close.
constexpr seconds kConnectionGrace{1};
// How long a stop may take besides drain_delay and drain.
constexpr seconds kLongestEnd{30};

// Takes the configuration's text: the audit log keeps it.
audit::OpenOptions AuditOptions(config::Config& config, telemetry::Metrics& metrics) {
  const auto remember = config.requests.remember;
  return {.config = config.fingerprint,
          .config_text = std::exchange(config.effective, {}),
          .remember = remember,
          .keep_for = remember + TraitsOf(config.upstream).timeout + kLongestRecording,
          .hooks = AuditHooks(metrics)};
}

// Either the clock is behind now, or it was once ahead.
void WarnOfClock(std::chrono::microseconds ahead) {
  if (ahead.count() == 0) return;
  Log(LogLevel::kWarning, "audit.ahead_of_clock",
      {{"detail", "the audit log's latest record is ahead of the clock"},
       {"seconds", std::chrono::duration<double>(ahead).count()}});
}

audit::Record RecordOf(const char* event) {
  audit::Record record;
  record.set_event(event);
  return record;
}

// Returns once the record of the daemon's start is durable, or an error after kLongestStart.
Status RecordStart(audit::AuditLog& audit) {
  auto durable = std::make_shared<std::promise<Status>>();
  std::future<Status> written = durable->get_future();
  audit.Append(RecordOf(audit::event::kDaemonStarted),
               [durable](const Result<std::uint64_t>& sequence) { durable->set_value(sequence.status()); });
  if (written.wait_for(kLongestStart) == std::future_status::ready) return written.get();
  return absl::DeadlineExceededError("audit: the record of the daemon's start is not durable in time");
}

// From here on no request goes upstream, and each one that has gone is answered.
void EndCalls(loop::EventLoop& loop, issue::LiveCalls& live, upstream::Upstream& upstream) {
  auto ended = std::make_shared<std::promise<void>>();
  loop.Post([&live, &upstream, ended] {
    live.Stop();
    upstream.Stop();
    ended->set_value();
  });
  ended->get_future().wait_for(kLastRecords);
}

// Lets running calls finish, and then ends those that still run.
void EndServing(const config::Server& times, rpc::Server& server, loop::EventLoop& loop,
                issue::LiveCalls& live, upstream::Upstream& upstream) {
  WaitUnlessStopped(times.drain_delay);
  server.Drain();
  const auto drained_by = loop.clock().Now() + times.drain;
  if (!server.WaitDrained(drained_by) || !live.WaitNone(drained_by)) {
    Log(LogLevel::kWarning, "drain.overdue", {{"detail", "ending the calls that still run"}});
  }
  EndCalls(loop, live, upstream);
  live.WaitNone(loop.clock().Now() + kLastRecords);
  server.Stop(kConnectionGrace);
}

}  // namespace

Status Run(const std::string& path, Settings settings, loop::CurlLoop& loop) {
  const config::Config& config = settings.config;
  for (const std::string& warning : config.warnings) {
    Log(LogLevel::kWarning, "config.warning", {{"detail", warning}});
  }
  const UpstreamTraits traits = TraitsOf(config.upstream);
  telemetry::Metrics metrics(traits.centre ? telemetry::UpstreamProtocol::kGrpc
                                           : telemetry::UpstreamProtocol::kHttp);
  UpstreamReach reach;
  issue::LiveCalls live;
  ServiceManager manager;

  Result<audit::Opened> opened =
      audit::OpenAuditLog(config.audit, settings.audit_keys, AuditOptions(settings.config, metrics), loop);
  if (!opened.ok()) return opened.status();
  WarnOfClock(opened->ahead);
  CountEndedAtStart(opened->ended, metrics);
  audit::QueuedAuditLog& audit = *opened->log;

  issue::CurrentConfig current(TakeSnapshot(settings.config));
  const auto upstream = MakeUpstream(config.upstream, settings.api_keys, settings.central, loop,
                                     UpstreamObserver(traits, metrics, reach));
  const auto availability =
      MakeAvailability(config.upstream, settings.api_keys, loop, *upstream, AvailabilityObserver(metrics));
  issue::Pacing pacing{.slots = issue::UpstreamSlots(traits.max_in_flight),
                       .retries = issue::RetryPolicy(RetryObserver(traits, metrics))};
  StateHome home(config, std::exchange(settings.redis, std::nullopt), loop, StateObserver(metrics));
  home.Restore(std::exchange(opened->past, {}), opened->gap, loop.clock());

  issue::LoopIssuer issuer(
      {loop, current, home.state(), pacing, audit, *availability, *upstream, metrics, live});

  manager.WatchLoop(loop);
  loop.Start();
  const absl::Cleanup stop_loop = [&loop] { loop.Stop(); };
  if (Status started = RecordStart(audit); !started.ok()) return started;
  const auto record_stop = [&audit] { return audit.Stop(RecordOf(audit::event::kDaemonStopped)); };
  absl::Cleanup stop_early = [&record_stop] { (void)record_stop(); };

  home.AwaitReach();
  auto server = rpc::Server::Start(config, settings.edge, issuer, current, metrics);
  if (!server.ok()) return server.status();
  Readiness readiness(
      loop, [&audit] { return audit.healthy(); },
      [&server, &manager](bool ready) {
        (*server)->SetServing(ready ? rpc::Serving::kYes : rpc::Serving::kNo);
        manager.SetServing(ready);
      });
  Reloader reloader(path, std::move(settings),
                    {current, audit, **server, loop, *upstream, *availability, metrics, manager});
  LimitLevels levels(loop, current, home.state());
  auto admin = StartAdminPage(
      {readiness, current, reloader, home.state(), audit, *availability, reach, **server, levels, metrics});
  if (!admin.ok()) return admin.status();

  readiness.SetServing(true);
  Log(LogLevel::kInfo, "serving", {{"version", TOKEND_VERSION}, {"config", current.Get()->fingerprint}});
  reloader.ReloadUntilStop();

  Log(LogLevel::kInfo, "draining", {});
  const config::Server& times = reloader.settings().config.server;
  manager.Stop(times.drain_delay + times.drain + kLongestEnd);
  readiness.SetServing(false);
  EndServing(times, **server, loop, live, *upstream);
  std::move(stop_early).Cancel();
  Status stopped = record_stop();
  Log(LogLevel::kInfo, "stopped", {});
  return stopped;
}

}  // namespace tokend::app
