#include "daemon/upstream/central_addresses.h"

#include <algorithm>
#include <utility>

namespace tokend::upstream {

CentralAddresses::CentralAddresses(std::string host, std::unique_ptr<loop::NameLookup> names,
                                   loop::EventLoop& loop, OnAnswer on_answer)
    : host_(std::move(host)), loop_(loop), on_answer_(std::move(on_answer)), names_(std::move(names)) {
  SetTimer(std::chrono::seconds(0), &CentralAddresses::Begin);
}

CentralAddresses::~CentralAddresses() { ClearTimer(); }

void CentralAddresses::Refresh() {
  if (looking_ || !begun_at_) return;
  const std::chrono::nanoseconds early = *begun_at_ + kLeastApart - loop_.clock().Now();
  if (early.count() <= 0) return Begin();
  SetTimer(early, &CentralAddresses::Begin);
}

void CentralAddresses::Begin() {
  begun_at_ = loop_.clock().Now();
  looking_ = true;
  overdue_ = false;
  SetTimer(kPatience, &CentralAddresses::OnOverdue);
  names_->LookUp(host_, [this](const std::vector<std::string>& addresses) { OnFound(addresses); });
}

void CentralAddresses::OnFound(const std::vector<std::string>& addresses) {
  looking_ = false;
  retry_ = addresses.empty() ? std::clamp(2 * retry_, kLeastApart, kPeriod) : std::chrono::seconds(0);
  SetTimer(addresses.empty() ? retry_ : kPeriod, &CentralAddresses::Begin);
  on_answer_(addresses);
}

void CentralAddresses::OnOverdue() {
  overdue_ = true;
  on_answer_({});
}

void CentralAddresses::SetTimer(std::chrono::nanoseconds delay, void (CentralAddresses::*then)()) {
  ClearTimer();
  timer_ = loop_.After(delay, [this, then] {
    timer_.reset();
    (this->*then)();
  });
}

void CentralAddresses::ClearTimer() {
  if (timer_) loop_.Cancel(*std::exchange(timer_, std::nullopt));
}

}  // namespace tokend::upstream
