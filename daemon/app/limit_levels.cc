#include "daemon/app/limit_levels.h"

#include <vector>

#include "daemon/issue/request_charges.h"

namespace tokend::app {

LimitLevels::LimitLevels(loop::EventLoop& loop, const issue::CurrentConfig& current, state::State& state)
    : shared_(new Shared{.loop = loop, .current = current, .state = state, .mutex = {}, .asked_at = {}}) {}

LimitLevels::Levels LimitLevels::GetAndRefresh() {
  const auto now = shared_->loop.clock().Now();
  const std::lock_guard lock(shared_->mutex);
  if (!shared_->asked && (!shared_->asked_at || now - *shared_->asked_at >= kInterval)) {
    shared_->asked = true;
    shared_->asked_at = now;
    shared_->loop.Post([shared = shared_] { Read(shared); });
  }
  return shared_->levels;
}

void LimitLevels::Read(const std::shared_ptr<Shared>& shared) {
  std::vector<state::Charge> charges;
  std::vector<std::pair<std::string, std::string>> names;
  for (const auto& [organization, limits] : shared->current.Get()->organization_limits) {
    for (const config::Limit& limit : limits) {
      charges.push_back(issue::ChargeOf(limit, organization));
      names.emplace_back(organization, limit.name);
    }
  }
  if (charges.empty()) {
    const std::lock_guard lock(shared->mutex);
    shared->asked = false;
    return;
  }
  std::vector<state::Rate> rates;
  rates.reserve(charges.size());
  for (const state::Charge& charge : charges) rates.push_back(charge.rate);
  shared->state.Levels(std::move(charges), [shared, names = std::move(names), rates = std::move(rates)](
                                               const Result<std::vector<state::TimePoint>>& full_at) {
    const std::lock_guard lock(shared->mutex);
    shared->asked = false;
    if (!full_at.ok()) return;  // the page then shows the time of the last reading
    const state::TimePoint now = shared->loop.clock().Now();
    shared->levels = {.read = shared->loop.clock().WallNow()};
    for (std::size_t i = 0; i < names.size(); ++i) {
      shared->levels.remaining[names[i]] = rates[i].Remaining((*full_at)[i], now);
    }
  });
}

}  // namespace tokend::app
