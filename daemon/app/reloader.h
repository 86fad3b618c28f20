#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "daemon/app/file_watch.h"
#include "daemon/app/service_manager.h"
#include "daemon/app/settings.h"
#include "daemon/audit/queued_audit_log.h"
#include "daemon/base/current.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/rpc/server.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"
#include "daemon/upstream/upstream.h"

namespace tokend::app {

// The part of a configuration that decides requests. Takes the grants out of the configuration.
std::shared_ptr<const issue::ConfigSnapshot> TakeSnapshot(config::Config& config);

// How the last reload ended.
struct LastReload {
  std::chrono::system_clock::time_point time{};
  std::vector<std::string> errors = {};  // one line each; empty: what the files say is in effect
  std::map<std::string, std::uint64_t> key_generations = {};  // in effect, by organization
};

// Replaces the configuration and the keys that are in effect, all of them or none, and records either. Only
// the TLS files of a listener may stay out of a reload (ServerSettings::refused). A request keeps those with
// which it began. One thread, but for `last`.
class Reloader {
 public:
  // The parts that take a reload. All of them outlive this.
  struct Parts {
    issue::CurrentConfig& current;
    audit::QueuedAuditLog& audit;
    rpc::Server& server;
    loop::CurlLoop& loop;
    upstream::Upstream& upstream;
    upstream::Availability& availability;
    telemetry::Metrics& metrics;
    ServiceManager& manager;
  };

  Reloader(std::string path, Settings settings, const Parts& parts);

  // Reloads when SIGHUP comes and when one of the configuration's files changes. Returns when SIGTERM or
  // SIGINT comes. Call BlockSignals first. Main thread.
  void ReloadUntilStop();

  const Settings& settings() const { return settings_; }

  // The last reload. If it has errors, it was rejected or files were left out, so what is in effect differs
  // from what the files say. Any thread.
  std::shared_ptr<const LastReload> last() const { return last_.Get(); }

 private:
  void Reload(FileWatch& watch);
  void KeepConfig(std::variant<Settings, Rejection>& read);
  // All files that a reload reads, also those that a rejected configuration names.
  std::vector<std::string> Files() const;
  void Reject(const Rejection& rejection);
  void Take(Settings next);
  void RecordChanges(const Settings& next);
  void RecordRejection(const char* event, const std::vector<std::string>& errors);
  void Record(const char* event, std::string detail);
  // A LastReload of the settings in effect and the errors of a reload that ends now.
  std::shared_ptr<const LastReload> ReloadedNow(std::vector<std::string> errors) const;

  const std::string path_;
  Settings settings_;
  std::vector<std::string> rejected_files_;
  bool try_again_ = false;  // what was rejected may be taken without a change of a file
  const Parts parts_;
  Current<LastReload> last_;
};

}  // namespace tokend::app
