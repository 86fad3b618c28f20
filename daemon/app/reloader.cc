#include "daemon/app/reloader.h"

#include <poll.h>

#include <array>
#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "daemon/app/signals.h"
#include "daemon/base/release_memory.h"
#include "daemon/telemetry/log.h"

namespace tokend::app {
namespace {

using config::LogLevel;
using telemetry::Log;

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// After a change, files are read once no event has come for kSettle, or kLongestSettling after the first one:
// one change is often several files, one after the other.
constexpr milliseconds kSettle{100};
constexpr std::chrono::seconds kLongestSettling{1};
// Files are looked at this often without an event as well: some network file systems send none.
constexpr milliseconds kLookAnyway{30000};
constexpr int kMaxReloadRounds = 3;

// The detail of a record is cut after this; the operational log has every line.
constexpr std::size_t kMaxDetailBytes = 1024;

std::string Summary(const std::vector<std::string>& errors) {
  std::string summary = errors.empty() ? "" : errors.front();
  if (errors.size() > 1) summary += " (and " + std::to_string(errors.size() - 1) + " more)";
  if (summary.size() > kMaxDetailBytes) summary.resize(kMaxDetailBytes);
  return summary;
}

Shares::Policy PolicyOf(bool one_holder) {
  return one_holder ? Shares::Policy::kOneHolder : Shares::Policy::kShared;
}

}  // namespace

std::shared_ptr<const issue::ConfigSnapshot> TakeSnapshot(config::Config& config) {
  issue::ConfigSnapshot snapshot{
      config.fingerprint, {std::exchange(config.grants, {}), config.organizations}, config.audit.deadline};
  for (const config::Organization& organization : config.organizations) {
    snapshot.organization_limits[organization.name] = organization.limits;
  }
  snapshot.slots = {.organizations = PolicyOf(config.organizations.size() == 1),
                    .callers = PolicyOf(snapshot.policy.names_one_caller())};
  return std::make_shared<issue::ConfigSnapshot>(std::move(snapshot));
}

Reloader::Reloader(std::string path, Settings settings, const Parts& parts)
    : path_(std::move(path)), settings_(std::move(settings)), parts_(parts), last_(ReloadedNow({})) {}

std::shared_ptr<const LastReload> Reloader::ReloadedNow(std::vector<std::string> errors) const {
  auto last = std::make_shared<LastReload>(
      LastReload{.time = std::chrono::system_clock::now(), .errors = std::move(errors)});
  for (const auto& [organization, in_use] : settings_.api_keys) {
    last->key_generations[organization] = in_use.generation;
  }
  return last;
}

void Reloader::ReloadUntilStop() {
  const SignalReader signals;
  FileWatch watch;
  Reload(watch);  // files may have changed since the daemon read them at its start
  std::optional<steady_clock::time_point> changing_since;
  while (true) {
    std::array<pollfd, 2> ready = {{{signals.descriptor(), POLLIN, 0}, {watch.descriptor(), POLLIN, 0}}};
    const milliseconds wait = changing_since ? kSettle : kLookAnyway;
    const bool waited = poll(ready.data(), ready.size(), static_cast<int>(wait.count())) == 0;
    const SignalReader::Asked asked = signals.Take();
    if (asked == SignalReader::Asked::kStop) return;
    const bool changed = watch.Changed();
    const auto now = steady_clock::now();
    const bool settled =
        ready[1].revents == 0 || (changing_since && now - *changing_since >= kLongestSettling);
    const bool again = try_again_ && waited && !changed;
    if (asked == SignalReader::Asked::kReload || (changed && settled) || again) {
      Log(LogLevel::kInfo, "reloading",
          {{"detail", changed ? "a file has changed" : (again ? "trying again" : "SIGHUP")}});
      parts_.manager.BeginReload();
      Reload(watch);
      changing_since.reset();
    } else if (!changed) {
      changing_since.reset();
    } else if (!changing_since) {
      changing_since = now;
    }
  }
}

// A configuration may name files that were not watched while they were read: these are watched now, and all
// is read again.
void Reloader::Reload(FileWatch& watch) {
  try_again_ = false;
  std::vector<std::string> watched;
  for (int round = 0; round < kMaxReloadRounds && watched != Files(); ++round) {
    watched = Files();
    watch.Watch(watched);
    std::variant<Settings, Rejection> read = ReadSettings(path_, &parts_.loop, &settings_);
    KeepConfig(read);
    if (const auto* rejection = std::get_if<Rejection>(&read)) {
      Reject(*rejection);
    } else {
      Take(std::get<Settings>(std::move(read)));
    }
  }
  ReturnFreeMemory();
  ReleaseCodePages();
  parts_.manager.EndReload(Summary(last_.Get()->errors));
}

// Records name a configuration only where its text is kept beside the log. Where that fails, the settings
// become a rejection, and the next attempt follows without a change.
void Reloader::KeepConfig(std::variant<Settings, Rejection>& read) {
  auto* settings = std::get_if<Settings>(&read);
  if (settings == nullptr || settings->config.fingerprint == settings_.config.fingerprint) return;
  config::Config& config = settings->config;
  const Status kept = parts_.audit.UseConfig(config.fingerprint, std::exchange(config.effective, {}));
  if (kept.ok()) return;
  try_again_ = true;
  read = Rejection{Rejection::Of::kConfig,
                   {"audit: the configuration cannot be kept: " + std::string(kept.message())},
                   config.warnings,
                   config.files};
}

std::vector<std::string> Reloader::Files() const {
  std::set<std::string> files(rejected_files_.begin(), rejected_files_.end());
  files.insert(settings_.config.files.begin(), settings_.config.files.end());
  files.insert(path_);
  return {files.begin(), files.end()};
}

void Reloader::Reject(const Rejection& rejection) {
  last_.Set(ReloadedNow(rejection.errors));
  rejected_files_ = rejection.files;
  parts_.metrics.ConfigReloaded(telemetry::Reload::kRejected);
  const bool of_key = rejection.of == Rejection::Of::kKey;
  RecordRejection(of_key ? audit::event::kKeyRejected : audit::event::kConfigRejected, rejection.errors);
}

// Cannot fail: a reload takes effect as a whole, but for TLS files that it leaves out.
void Reloader::Take(Settings next) {
  const bool rejected = !next.refused.empty();
  rejected_files_.clear();
  parts_.metrics.ConfigReloaded(rejected ? telemetry::Reload::kRejected : telemetry::Reload::kDone);
  const config::Config& config = next.config;
  // The keys first: a request that the new configuration decides finds the key of its organization.
  parts_.loop.Post([&upstream = parts_.upstream, &availability = parts_.availability, keys = next.api_keys] {
    upstream.UseKeys(keys);
    availability.UseKeys(keys);
  });
  parts_.current.Set(TakeSnapshot(next.config));
  parts_.server.Apply(next.edge);
  parts_.audit.UseKeys(next.audit_keys);
  telemetry::SetLogLevel(config.log.level);
  RecordChanges(next);
  if (rejected) RecordRejection(audit::event::kKeyRejected, next.refused);
  settings_ = std::move(next);
  settings_.config.effective = std::string();  // the audit log has it
  last_.Set(ReloadedNow(settings_.refused));
}

void Reloader::RecordChanges(const Settings& next) {
  const bool is_other = next.config.fingerprint != settings_.config.fingerprint;
  const std::set<std::string> known(settings_.config.warnings.begin(), settings_.config.warnings.end());
  for (const std::string& warning : next.config.warnings) {
    if (is_other || !known.contains(warning)) {
      Log(LogLevel::kWarning, "config.warning", {{"detail", warning}});
    }
  }
  if (is_other) {
    Log(LogLevel::kInfo, audit::event::kConfigReloaded, {{"config", next.config.fingerprint}});
    Record(audit::event::kConfigReloaded, "from " + settings_.config.fingerprint);
  }
  std::vector<std::string> changes = rpc::ChangedKeys(settings_.edge, next.edge);
  if (next.audit_keys.fingerprinter != settings_.audit_keys.fingerprinter) {
    changes.emplace_back("audit: fingerprint key");
  }
  if (next.audit_keys.signer != settings_.audit_keys.signer) changes.emplace_back("audit: signing key");
  if (next.central.digest != settings_.central.digest) {
    changes.emplace_back("upstream: the credentials for the central tokend");
  }
  for (const std::string& change : changes) {
    Log(LogLevel::kInfo, audit::event::kKeyReloaded, {{"detail", change}});
    Record(audit::event::kKeyReloaded, change);
  }
  for (const auto& [organization, in_use] : next.api_keys) {
    const auto before = settings_.api_keys.find(organization);
    if (before != settings_.api_keys.end() && before->second.generation == in_use.generation) continue;
    Log(LogLevel::kInfo, audit::event::kKeyReloaded,
        {{"organization", organization}, {"key_generation", static_cast<std::int64_t>(in_use.generation)}});
    audit::Record record;
    record.set_event(audit::event::kKeyReloaded);
    record.mutable_target()->set_organization(organization);
    record.mutable_upstream()->set_key_generation(in_use.generation);
    record.set_detail("the organization's API key");
    parts_.audit.Note(std::move(record));
  }
}

void Reloader::RecordRejection(const char* event, const std::vector<std::string>& errors) {
  for (const std::string& error : errors) Log(LogLevel::kError, event, {{"detail", error}});
  Record(event, Summary(errors));
}

void Reloader::Record(const char* event, std::string detail) {
  audit::Record record;
  record.set_event(event);
  record.set_detail(std::move(detail));
  parts_.audit.Note(std::move(record));
}

}  // namespace tokend::app
