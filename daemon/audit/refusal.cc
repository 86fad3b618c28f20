#include "daemon/audit/refusal.h"

#include <initializer_list>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "daemon/audit/record_line.h"
#include "daemon/base/caller.h"

namespace tokend::audit {
namespace {

// Each part is preceded by its length, so two lists of parts have the same key only if they are equal.
std::string KeyOf(std::initializer_list<std::string_view> parts) {
  std::string key;
  for (const std::string_view part : parts) {
    absl::StrAppend(&key, part.size(), ":");
    key += part;
  }
  return key;
}

}  // namespace

Refusal::Refusal(v1::Record record, Allowance allowance) : record_(std::move(record)), allowance_(allowance) {
  CutRequestTexts(record_);
}

std::string Refusal::Key() const {
  const v1::Caller& caller = record_.caller();
  const v1::Target& target = record_.target();
  std::string key = KeyOf({record_.event(), caller.name(), caller.listener(), WithoutPort(caller.peer()),
                           caller.on_behalf_of(), record_.reason(), record_.detail(), target.organization(),
                           target.application(), target.description()});
  for (const std::string& scope : target.scopes()) key += KeyOf({scope});
  return key;
}

std::string Refusal::Account() const {
  if (allowance_ == Allowance::kShared) return "shared";
  const v1::Caller& caller = record_.caller();
  return caller.name().empty() ? "listener:" + caller.listener() : "caller:" + caller.name();
}

std::string Refusal::Cause() const { return KeyOf({record_.event(), record_.reason()}); }

void Refusal::Reduce() {
  v1::Record reduced;
  reduced.set_event(record_.event());
  reduced.set_reason(record_.reason());
  *reduced.mutable_caller() = std::move(*record_.mutable_caller());
  record_ = std::move(reduced);
  reduced_ = true;
}

void Refusal::KeepCommon(const Refusal& other) {
  if (record_.grant() != other.record_.grant()) record_.clear_grant();
  if (!reduced_) return;
  v1::Caller& caller = *record_.mutable_caller();
  const v1::Caller& its = other.record_.caller();
  if (caller.name() != its.name()) caller.clear_name();
  if (caller.authentication() != its.authentication()) caller.clear_authentication();
  if (caller.listener() != its.listener()) caller.clear_listener();
  if (WithoutPort(caller.peer()) != WithoutPort(its.peer())) caller.clear_peer();
  if (caller.on_behalf_of() != its.on_behalf_of()) caller.clear_on_behalf_of();
}

v1::Record Refusal::Take(std::uint64_t count) && {
  if (count > 1) record_.set_count(count);
  return std::move(record_);
}

}  // namespace tokend::audit
