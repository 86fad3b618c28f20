#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/name_lookup.h"

namespace tokend::upstream {

// Looks up the addresses of a host name at the start, every 30 s and on Refresh. After a failed look-up the
// next one comes sooner. Loop thread only.
class CentralAddresses {
 public:
  // Called with the addresses when a look-up ends. Empty: the look-up failed, or takes longer than kPatience.
  using OnAnswer = absl::AnyInvocable<void(const std::vector<std::string>&)>;

  static constexpr std::chrono::seconds kPeriod{30};
  static constexpr std::chrono::seconds kLeastApart{1};
  static constexpr std::chrono::seconds kPatience{5};

  // The first look-up begins once the loop runs.
  CentralAddresses(std::string host, std::unique_ptr<loop::NameLookup> names, loop::EventLoop& loop,
                   OnAnswer on_answer);
  ~CentralAddresses();
  CentralAddresses(const CentralAddresses&) = delete;
  CentralAddresses& operator=(const CentralAddresses&) = delete;

  // Begins a look-up: at once, or kLeastApart after the last one began. Does nothing while one runs.
  void Refresh();

  // Whether the first look-up is still to begin, or one runs that has not yet taken kPatience.
  bool pending() const { return begun_at_ == std::nullopt || (looking_ && !overdue_); }

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  void Begin();
  void OnFound(const std::vector<std::string>& addresses);
  void OnOverdue();
  void SetTimer(std::chrono::nanoseconds delay, void (CentralAddresses::*then)());
  void ClearTimer();

  const std::string host_;
  loop::EventLoop& loop_;
  OnAnswer on_answer_;
  std::optional<TimePoint> begun_at_;  // when the last look-up began
  bool looking_ = false;
  bool overdue_ = false;
  std::chrono::seconds retry_{0};
  std::optional<loop::TimerId> timer_;  // for the next look-up, or the end of patience
  std::unique_ptr<loop::NameLookup> names_;
};

}  // namespace tokend::upstream
