#include "daemon/state/memory/kept.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace tokend::state {
namespace {

void Append(std::string_view text, std::string& packed) {
  const auto size = static_cast<std::uint32_t>(text.size());
  std::array<char, sizeof(size)> bytes;
  std::memcpy(bytes.data(), &size, sizeof(size));
  packed.append(bytes.data(), bytes.size()).append(text);
}

std::string_view TakeFirst(std::string_view& packed) {
  std::uint32_t size = 0;
  std::memcpy(&size, packed.data(), sizeof(size));
  const std::string_view text = packed.substr(sizeof(size), size);
  packed.remove_prefix(sizeof(size) + size);
  return text;
}

}  // namespace

PackedTarget::PackedTarget(const Target& target) {
  std::size_t size = target.organization.size() + target.application.size() + target.description.size();
  for (const std::string& scope : target.scopes) size += scope.size();
  texts_.reserve(size + sizeof(std::uint32_t) * (3 + target.scopes.size()));
  Append(target.organization, texts_);
  Append(target.application, texts_);
  Append(target.description, texts_);
  for (const std::string& scope : target.scopes) Append(scope, texts_);
}

Target PackedTarget::Unpack() const {
  Target target;
  if (texts_.empty()) return target;
  std::string_view left = texts_;
  target.organization = TakeFirst(left);
  target.application = TakeFirst(left);
  target.description = TakeFirst(left);
  while (!left.empty()) target.scopes.emplace_back(TakeFirst(left));
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

Outcome KeptOutcome::Get() const {
  if (const auto* failure = std::get_if<std::unique_ptr<const Failure>>(&kept_)) return **failure;
  return std::get<Answered>(kept_);
}

std::unique_ptr<const Failure> KeptOutcome::TakeFailure() {
  auto failure = std::get<std::unique_ptr<const Failure>>(std::move(kept_));
  reset();
  return failure;
}

}  // namespace tokend::state
