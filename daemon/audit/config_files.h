#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "daemon/audit/log_store.h"
#include "daemon/loop/event_loop.h"

namespace tokend::audit {

// Keeps the configurations that records name, in files beside the log: config-<fingerprint>.yaml holds what
// `tokend check --print` prints. A file's mtime says when its configuration was last in force, by the wall
// clock. One thread at a time.
class ConfigFiles {
 public:
  static constexpr std::size_t kMaxFiles = 64;
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 20U;  // of all files together

  // `next_name` is the name of a file until it is complete. A request names the configuration with which it
  // began, so records may name a configuration for up to `named_for` after another one has come into force.
  ConfigFiles(LogStore& store, std::string next_name, std::chrono::nanoseconds named_for,
              const loop::Clock& clock);

  // Writes the file of a configuration, which is durable once this returns OK.
  Status Keep(const std::string& fingerprint, std::string_view text);

  // From now on this configuration is in force. Keep has written its file.
  void Use(const std::string& fingerprint, std::string text);

  // Writes the file of the configuration in force again, if the folder has lost it.
  Status KeepInForce();

  // Sets the mtime of every configuration that records may still name.
  void MarkInForce();

  // Deletes the files that were last in force before `oldest`, when the oldest kept file of the log began,
  // and where the bounds are exceeded those that were in force longest ago. The configuration in force stays.
  void Prune(FileTime oldest);

 private:
  FileTime Now() const;

  LogStore& store_;
  const std::string next_name_;
  const std::chrono::nanoseconds named_for_;
  const loop::Clock& clock_;
  std::string in_force_;  // its fingerprint; empty: none is kept
  std::string text_;      // of the one in force
  // The configurations before it that records may still name, and since when they are not in force.
  std::map<std::string, std::chrono::steady_clock::time_point> replaced_;
};

}  // namespace tokend::audit
