#include "daemon/state/memory/kept.h"

#include <array>
#include <string_view>

namespace tokend::state {

PackedTarget::PackedTarget(const Target& target)
    : texts_(std::array<std::string_view, 3>{target.organization, target.application, target.description},
             target.scopes) {}

Target PackedTarget::Unpack() const {
  Target target;
  PackedTexts::Reader texts = texts_.Read();
  if (texts.done()) return target;
  target.organization = texts.Next();
  target.application = texts.Next();
  target.description = texts.Next();
  while (!texts.done()) target.scopes.emplace_back(texts.Next());
  return target;
}

KeptOutcome& KeptOutcome::operator=(Outcome outcome) {
  if (auto* answered = std::get_if<Answered>(&outcome)) {
    kept_ = std::move(*answered);
  } else {
    kept_ = std::make_unique<const Failure>(std::get<Failure>(std::move(outcome)));
  }
  return *this;
}

KeptOutcome& KeptOutcome::operator=(LostBearer lost) {
  kept_ = lost;
  return *this;
}

Outcome KeptOutcome::Get() const {
  if (const auto* lost = std::get_if<LostBearer>(&kept_)) return BearerLost(lost->ended_by);
  if (const auto* failure = std::get_if<std::unique_ptr<const Failure>>(&kept_)) return **failure;
  return std::get<Answered>(kept_);
}

std::unique_ptr<const Failure> KeptOutcome::TakeFailure() {
  auto failure = std::make_unique<const Failure>(std::get<Failure>(Get()));
  reset();
  return failure;
}

}  // namespace tokend::state
