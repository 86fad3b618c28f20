#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace tokend::app {

// Whether the last request to the upstream was answered. Any thread.
class UpstreamReach {
 public:
  // `trouble`: why the request was not answered, in fixed words. Nothing: it was answered.
  void Set(std::optional<std::string> trouble) {
    const std::lock_guard lock(mutex_);
    trouble_ = std::move(trouble);
  }

  // Nothing: the last request was answered, or there was none yet.
  std::optional<std::string> trouble() const {
    const std::lock_guard lock(mutex_);
    return trouble_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<std::string> trouble_;
};

}  // namespace tokend::app
