#include "daemon/state/redis_claims.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "daemon/base/form.h"
#include "daemon/state/redis_scripts.h"

namespace tokend::state {
namespace {

using std::chrono::ceil;
using std::chrono::duration_cast;
using std::chrono::microseconds;

// 71 years: sums of these stay exact in Lua.
constexpr microseconds kLongestTolerance{std::int64_t{1} << 51U};

std::string_view BytesOf(const RequestDigest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string Text(microseconds duration) { return std::to_string(duration.count()); }

// So that Redis never grants more than the limit says: times are whole microseconds there.
void AppendRate(const Rate& rate, std::vector<std::string>& arguments) {
  const auto interval = ceil<microseconds>(rate.interval());
  std::int64_t tolerance = 0;
  if (__builtin_mul_overflow(interval.count(), rate.burst() - 1, &tolerance)) {
    tolerance = kLongestTolerance.count();
  }
  arguments.push_back(Text(interval));
  arguments.push_back(Text(std::min(microseconds(tolerance), kLongestTolerance)));
}

}  // namespace

void AppendCharges(const std::vector<Charge>& charges, std::vector<std::string>& arguments) {
  arguments.push_back(std::to_string(charges.size()));
  for (const Charge& charge : charges) {
    arguments.push_back(Hex({reinterpret_cast<const char*>(charge.key.data()), charge.key.size()}));
    AppendRate(charge.rate, arguments);
  }
}

void AppendCharges(const Charges& charges, std::vector<std::string>& arguments) {
  AppendCharges(charges.own, arguments);
  AppendCharges(charges.organization, arguments);
}

RedisClaims::RedisClaims(loop::EventLoop& loop, RedisSession& session, const Sealer& sealer,
                         std::chrono::milliseconds remember)
    : loop_(loop),
      session_(session),
      sealer_(sealer),
      remember_(remember),
      expiries_(loop, [this](const std::string& request_id) { claims_.erase(request_id); }) {}

const RedisClaims::Claim* RedisClaims::Find(const std::string& request_id) const {
  const auto found = claims_.find(request_id);
  return found == claims_.end() ? nullptr : &found->second;
}

void RedisClaims::Begin(const std::string& request_id, Claim claim, In in) {
  Claim& begun = claims_[request_id];
  if (begun.outcome) expiries_.Remove(ExpiryOf(begun), request_id);
  begun = std::move(claim);
  begun.version = 1;
  begun.written = in == In::kRedis ? 1 : 0;
}

bool RedisClaims::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  const auto found = claims_.find(request_id);
  if (found == claims_.end()) return false;
  Claim& claim = found->second;
  if (claim.outcome) expiries_.Remove(ExpiryOf(claim), request_id);
  claim.outcome = std::move(outcome);
  claim.intended_at = intended_at;
  expiries_.Add(ExpiryOf(claim), request_id);
  Change(request_id, claim);
  return true;
}

bool RedisClaims::End(const std::string& request_id) {
  const auto found = claims_.find(request_id);
  if (found == claims_.end()) return false;
  Claim& claim = found->second;
  if (claim.outcome) expiries_.Remove(ExpiryOf(claim), request_id);
  Drop drop{.request_id = request_id, .nonce = std::move(claim.nonce)};
  claims_.erase(found);
  Remove(std::move(drop));
  return true;
}

void RedisClaims::Amend(const std::string& request_id, std::optional<Answered> answered,
                        TimePoint intended_at) {
  const auto found = claims_.find(request_id);
  if (found == claims_.end() || !found->second.outcome || found->second.intended_at != intended_at) return;
  if (!answered) {
    End(request_id);
    return;
  }
  // For whom it would be sealed is not known of an earlier life's.
  if (found->second.caller.empty()) return;
  found->second.outcome = *std::move(answered);
  Change(request_id, found->second);
}

void RedisClaims::Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                          TimePoint intended_at) {
  Begin(request_id, {.digest = digest, .nonce = MakeUuid()}, In::kHere);
  Settle(request_id, std::move(outcome), intended_at);
}

void RedisClaims::Change(const std::string& request_id, Claim& claim) {
  ++claim.version;
  if (session_.contact() != RedisSession::Contact::kNone) Write({{request_id}, nullptr});
}

void RedisClaims::WriteAll(RedisSession::Memory memory, absl::AnyInvocable<void()> done) {
  put_off_.clear();
  auto writing = std::make_shared<Writing>();
  writing->done = std::move(done);
  const auto add = [&](const std::string& request_id, Claim& claim) {
    if (memory == RedisSession::Memory::kLost) claim.written = 0;
    if (claim.written < claim.version) writing->left.push_back(request_id);
  };
  // The newest first: it is the last writes that Redis has lost, and others do not wait for long.
  for (auto& [request_id, claim] : claims_) {
    if (!claim.outcome) add(request_id, claim);
  }
  for (auto settled = expiries_.times().rbegin(); settled != expiries_.times().rend(); ++settled) {
    add(settled->second, claims_.at(settled->second));
  }
  WriteMore(writing);
}

void RedisClaims::WriteMore(const std::shared_ptr<Writing>& writing) {
  while (writing->running < kBatches && !writing->left.empty()) {
    const auto end =
        writing->left.begin() + static_cast<std::ptrdiff_t>(std::min(writing->left.size(), kBatch));
    std::vector<std::string> batch(std::make_move_iterator(writing->left.begin()),
                                   std::make_move_iterator(end));
    writing->left.erase(writing->left.begin(), end);
    ++writing->running;
    Write({std::move(batch), [this, writing] {
             --writing->running;
             WriteMore(writing);
           }});
  }
  if (writing->running == 0 && writing->left.empty() && writing->done)
    std::exchange(writing->done, nullptr)();
}

void RedisClaims::Write(Batch batch) {
  const bool of_all = batch.done != nullptr;
  std::vector<std::string> arguments = {of_all ? "1" : "0"};
  std::vector<std::uint64_t> versions;
  std::erase_if(batch.request_ids, [this](const std::string& id) { return Find(id) == nullptr; });
  for (const std::string& request_id : batch.request_ids) {
    const Claim& claim = *Find(request_id);
    AddTo(arguments, request_id, claim);
    versions.push_back(claim.version);
  }
  if (versions.empty()) {
    if (batch.done) batch.done();
    return;
  }
  session_.Run(RedisScripts::Get().put, RedisSession::Writes::kLedger, std::move(arguments),
               [this, batch = std::move(batch),
                versions = std::move(versions)](const Result<RedisAnswer>& answer) mutable {
                 // With other errors contact is lost: it is for WriteAll.
                 if (answer.status().code() == absl::StatusCode::kResourceExhausted) {
                   return put_off_.push_back(std::move(batch));
                 }
                 if (!answer.ok()) return;
                 for (std::size_t i = 0; i < versions.size(); ++i) {
                   const auto found = claims_.find(batch.request_ids[i]);
                   if (found == claims_.end()) continue;
                   found->second.written = std::max(found->second.written, versions[i]);
                 }
                 if (batch.done) batch.done();
               });
}

void RedisClaims::AddTo(std::vector<std::string>& arguments, const std::string& request_id,
                        const Claim& claim) const {
  arguments.insert(arguments.end(), {request_id, std::string(BytesOf(claim.digest)), claim.nonce});
  if (!claim.outcome) {
    const auto life = microseconds(remember_) + microseconds(kLongestCall);
    arguments.insert(arguments.end(), {"running", "0", Text(life), "", "", "", "", ""});
    return;
  }
  const auto age = duration_cast<microseconds>(loop_.clock().Now() - claim.intended_at);
  const auto* answered = std::get_if<Answered>(&*claim.outcome);
  arguments.insert(arguments.end(),
                   {answered != nullptr ? "token" : "unknown", Text(age), Text(microseconds(remember_))});
  if (answered != nullptr) {
    arguments.push_back(sealer_.Seal(*answered->token, request_id, claim.caller));
    arguments.insert(arguments.end(), {std::to_string(answered->intent), "", "", ""});
    return;
  }
  const Failure& failure = std::get<Failure>(*claim.outcome);
  arguments.insert(arguments.end(), {"", "", std::to_string(static_cast<int>(failure.reason)),
                                     failure.audit_sequence ? std::to_string(*failure.audit_sequence) : "",
                                     failure.upstream_code ? std::to_string(*failure.upstream_code) : ""});
}

void RedisClaims::Remove(Drop drop) {
  if (session_.contact() == RedisSession::Contact::kNone) {
    Keep(std::move(drop));
  } else {
    Send(std::move(drop));
  }
}

void RedisClaims::Retry() {
  for (Batch& batch : std::exchange(put_off_, {})) Write(std::move(batch));
  for (std::size_t left = std::min(drops_.size(), kRetriedDrops); left > 0; --left) {
    Drop drop = std::move(drops_.front());
    drops_.pop_front();
    Remove(std::move(drop));
  }
}

void RedisClaims::Send(Drop drop) {
  std::vector<std::string> arguments = {
      std::to_string(drop.not_before), drop.request_id, drop.nonce, std::to_string(drop.turn),
      drop.charges.organization_name.empty() ? "-" : drop.charges.organization_name};
  AppendCharges(drop.charges, arguments);
  session_.Run(RedisScripts::Get().leave, RedisSession::Writes::kNothing, std::move(arguments),
               [this, drop = std::move(drop)](const Result<RedisAnswer>& answer) mutable {
                 // Once contact is lost it is not known whether it is done.
                 if (!answer.ok() || answer->word() == "early") Keep(std::move(drop));
               });
}

void RedisClaims::Keep(Drop drop) {
  if (drops_.size() >= kMaxDrops) drops_.pop_front();
  drops_.push_back(std::move(drop));
}

}  // namespace tokend::state
