#include "daemon/audit/config_files.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace tokend::audit {
namespace {

constexpr std::string_view kConfigBeginning = "config-";
constexpr std::string_view kConfigEnding = ".yaml";
constexpr std::size_t kFingerprintDigits = 16;

std::string ConfigNameOf(const std::string& fingerprint) {
  return std::string(kConfigBeginning) + fingerprint + std::string(kConfigEnding);
}

bool IsConfigFile(std::string_view name) {
  if (name.size() != kConfigBeginning.size() + kFingerprintDigits + kConfigEnding.size()) return false;
  return name.starts_with(kConfigBeginning) && name.ends_with(kConfigEnding) &&
         name.substr(kConfigBeginning.size(), kFingerprintDigits).find_first_not_of("0123456789abcdef") ==
             std::string_view::npos;
}

}  // namespace

ConfigFiles::ConfigFiles(LogStore& store, std::string next_name, std::chrono::nanoseconds named_for,
                         const loop::Clock& clock)
    : store_(store), next_name_(std::move(next_name)), named_for_(named_for), clock_(clock) {}

FileTime ConfigFiles::Now() const { return std::chrono::floor<FileTime::duration>(clock_.WallNow()); }

// The file gets its name once it is complete. One that has the name already is replaced, as it may have been
// changed.
Status ConfigFiles::Keep(const std::string& fingerprint, std::string_view text) {
  if (Status removed = store_.Remove(next_name_); !removed.ok() && !absl::IsNotFound(removed)) return removed;
  Result<std::unique_ptr<AppendFile>> file = store_.Create(next_name_);
  if (!file.ok()) return file.status();
  if (Status written = WriteAll(**file, text); !written.ok()) return written;
  if (Status synced = (*file)->Sync(); !synced.ok()) return synced;
  if (Status renamed = store_.Rename(next_name_, ConfigNameOf(fingerprint)); !renamed.ok()) return renamed;
  if (Status synced = store_.SyncFolder(); !synced.ok()) return synced;
  store_.SetModified(ConfigNameOf(fingerprint), Now()).IgnoreError();
  return absl::OkStatus();
}

void ConfigFiles::Use(const std::string& fingerprint, std::string text) {
  if (!in_force_.empty() && in_force_ != fingerprint) replaced_[in_force_] = clock_.Now();
  replaced_.erase(fingerprint);
  in_force_ = fingerprint;
  text_ = std::move(text);
  MarkInForce();
}

Status ConfigFiles::KeepInForce() {
  const bool lost = !in_force_.empty() && absl::IsNotFound(store_.Stat(ConfigNameOf(in_force_)).status());
  return lost ? Keep(in_force_, text_) : absl::OkStatus();
}

void ConfigFiles::MarkInForce() {
  if (in_force_.empty()) return;
  std::erase_if(replaced_, [this](const auto& one) { return one.second + named_for_ <= clock_.Now(); });
  // An mtime that cannot be set costs no record: the file goes earlier than it might.
  store_.SetModified(ConfigNameOf(in_force_), Now()).IgnoreError();
  for (const auto& [fingerprint, since] : replaced_) {
    store_.SetModified(ConfigNameOf(fingerprint), Now()).IgnoreError();
  }
}

void ConfigFiles::Prune(FileTime oldest) {
  const Result<std::vector<std::string>> names = store_.List();
  if (in_force_.empty() || !names.ok()) return;
  struct Kept {
    std::string name;
    LogStore::Info info;
  };
  std::vector<Kept> files;
  for (const std::string& name : *names) {
    if (!IsConfigFile(name)) continue;
    const Result<LogStore::Info> info = store_.Stat(name);
    if (info.ok()) files.push_back({name, *info});
  }
  const std::string first = ConfigNameOf(in_force_);
  std::sort(files.begin(), files.end(), [&first](const Kept& a, const Kept& b) {
    return std::pair(a.name == first, a.info.modified) > std::pair(b.name == first, b.info.modified);
  });
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    bytes += files[i].info.size;
    if (files[i].name == first) continue;
    if (files[i].info.modified >= oldest && i < kMaxFiles && bytes <= kMaxBytes) continue;
    store_.Remove(files[i].name).IgnoreError();
  }
}

}  // namespace tokend::audit
