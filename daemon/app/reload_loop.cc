#include "daemon/app/reload_loop.h"

#include <poll.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "daemon/app/file_watch.h"
#include "daemon/app/signals.h"
#include "daemon/telemetry/log.h"

namespace tokend::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// After a change, files are read once no event has come for kSettle, or kLongestSettling after the first one:
// one change is often several files, one after the other.
constexpr milliseconds kSettle{100};
constexpr std::chrono::seconds kLongestSettling{1};
// Files are looked at this often without an event as well: some network file systems send none.
constexpr milliseconds kLookAnyway{30000};
constexpr int kMaxReloadRounds = 3;

// A configuration may name files that were not watched while they were read: these are watched now, and all
// is read again.
void Reload(Reloader& reloader, FileWatch& watch) {
  std::vector<std::string> watched;
  for (int round = 0; round < kMaxReloadRounds && watched != reloader.files(); ++round) {
    watched = reloader.files();
    watch.Watch(watched);
    reloader.Reload();
  }
}

}  // namespace

void ReloadUntilStop(Reloader& reloader) {
  const SignalReader signals;
  FileWatch watch;
  Reload(reloader, watch);  // files may have changed since the daemon read them at its start
  std::optional<steady_clock::time_point> changing_since;
  while (true) {
    std::array<pollfd, 2> ready = {{{signals.descriptor(), POLLIN, 0}, {watch.descriptor(), POLLIN, 0}}};
    const milliseconds wait = changing_since ? kSettle : kLookAnyway;
    poll(ready.data(), ready.size(), static_cast<int>(wait.count()));
    const SignalReader::Asked asked = signals.Take();
    if (asked == SignalReader::Asked::kStop) return;
    const bool changed = watch.Changed();
    const auto now = steady_clock::now();
    const bool settled =
        ready[1].revents == 0 || (changing_since && now - *changing_since >= kLongestSettling);
    if (asked == SignalReader::Asked::kReload || (changed && settled)) {
      telemetry::Log(config::LogLevel::kInfo, "reloading",
                     {{"detail", changed ? "a file has changed" : "SIGHUP"}});
      Reload(reloader, watch);
      changing_since.reset();
    } else if (!changed) {
      changing_since.reset();
    } else if (!changing_since) {
      changing_since = now;
    }
  }
}

}  // namespace tokend::app
