#include "daemon/state/redis/local_claims.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "daemon/base/form.h"
#include "daemon/state/redis/arguments.h"
#include "daemon/state/redis/scripts.h"

namespace tokend::state {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

template <class Number>
std::string TextOf(const std::optional<Number>& number) {
  return number ? std::to_string(*number) : "";
}

}  // namespace

LocalClaims::LocalClaims(loop::EventLoop& loop, RedisSession& session, const Sealer& sealer,
                         std::chrono::milliseconds remember)
    : loop_(loop),
      session_(session),
      sealer_(sealer),
      remember_(remember),
      expiries_(loop, [this](const std::string& request_id) { claims_.erase(request_id); }) {}

const LocalClaim* LocalClaims::Find(const std::string& request_id) const {
  const auto found = claims_.find(request_id);
  return found == claims_.end() ? nullptr : &found->second;
}

void LocalClaims::Begin(const std::string& request_id, LocalClaim claim, In in) {
  LocalClaim& begun = claims_[request_id];
  if (begun.outcome) expiries_.Remove(ExpiryOf(begun), request_id);
  begun = std::move(claim);
  begun.version = 1;
  begun.written = in == In::kRedis ? 1 : 0;
}

void LocalClaims::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  const auto found = claims_.find(request_id);
  if (found == claims_.end()) return;
  LocalClaim& claim = found->second;
  if (claim.outcome) expiries_.Remove(ExpiryOf(claim), request_id);
  claim.outcome = std::move(outcome);
  claim.intended_at = intended_at;
  expiries_.Add(ExpiryOf(claim), request_id);
  Change(request_id, claim);
}

void LocalClaims::Release(const std::string& request_id) {
  const auto found = claims_.find(request_id);
  if (found == claims_.end()) return;
  LocalClaim& claim = found->second;
  if (claim.outcome) expiries_.Remove(ExpiryOf(claim), request_id);
  Removal removal{.request_id = request_id, .nonce = std::move(claim.nonce)};
  claims_.erase(found);
  Remove(std::move(removal));
}

void LocalClaims::Amend(const std::string& request_id, std::optional<Answered> answered,
                        TimePoint intended_at) {
  const auto found = claims_.find(request_id);
  if (found == claims_.end() || !found->second.outcome || found->second.intended_at != intended_at) return;
  if (!answered) {
    Release(request_id);
    return;
  }
  // A token is sealed for its caller, who is not known of an earlier run's claim.
  if (found->second.caller.empty()) return;
  found->second.outcome = *std::move(answered);
  Change(request_id, found->second);
}

void LocalClaims::Restore(const std::string& request_id, const RequestDigest& digest, Failure outcome,
                          TimePoint intended_at) {
  Begin(request_id, {.digest = digest, .nonce = MakeUuid()}, In::kHere);
  Settle(request_id, std::move(outcome), intended_at);
}

void LocalClaims::Change(const std::string& request_id, LocalClaim& claim) {
  ++claim.version;
  if (session_.contact() != RedisSession::Contact::kNone) Write({{request_id}, nullptr});
}

void LocalClaims::WriteAll(RedisSession::Memory memory, absl::AnyInvocable<void()> done) {
  put_off_.clear();
  auto writing = std::make_shared<Writing>();
  writing->done = std::move(done);
  const auto add = [&](const std::string& request_id, LocalClaim& claim) {
    if (memory == RedisSession::Memory::kLost) claim.written = 0;
    if (claim.written < claim.version) writing->left.push_back(request_id);
  };
  // The newest first: Redis has lost the last writes, and other replicas soon rely on what it has.
  for (auto& [request_id, claim] : claims_) {
    if (!claim.outcome) add(request_id, claim);
  }
  for (auto settled = expiries_.times().rbegin(); settled != expiries_.times().rend(); ++settled) {
    add(settled->second, claims_.at(settled->second));
  }
  WriteMore(writing);
}

void LocalClaims::WriteMore(const std::shared_ptr<Writing>& writing) {
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
  if (writing->running == 0 && writing->left.empty() && writing->done) {
    std::exchange(writing->done, nullptr)();
  }
}

void LocalClaims::Write(Batch batch) {
  const bool of_all = batch.done != nullptr;
  std::vector<std::string> arguments = {of_all ? "1" : "0"};
  std::vector<std::uint64_t> versions;
  std::erase_if(batch.request_ids, [this](const std::string& id) { return Find(id) == nullptr; });
  for (const std::string& request_id : batch.request_ids) {
    const LocalClaim& claim = *Find(request_id);
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
                 // After any other error contact is lost, and WriteAll writes these again.
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

void LocalClaims::AddTo(std::vector<std::string>& arguments, const std::string& request_id,
                        const LocalClaim& claim) const {
  arguments.insert(arguments.end(), {request_id, std::string(BytesOf(claim.digest)), claim.nonce});
  if (!claim.outcome) {
    const auto life = microseconds(remember_) + microseconds(kLongestCall);
    arguments.insert(arguments.end(), {"running", "0", ToArgument(life), "", "", "", "", ""});
    return;
  }
  const auto age = ToArgument(duration_cast<microseconds>(loop_.clock().Now() - claim.intended_at));
  const auto life = ToArgument(microseconds(remember_));
  Failure unknown{.reason = Reason::kOutcomeUnknown};
  if (const auto* answered = std::get_if<Answered>(&*claim.outcome)) {
    Result<std::string> sealed = sealer_.Seal(*answered->token, request_id, claim.caller);
    if (sealed.ok()) {
      arguments.insert(arguments.end(), {"token", age, life, *std::move(sealed),
                                         std::to_string(answered->intent), "", "", ""});
      return;
    }
    unknown.audit_sequence = answered->intent;  // other replicas cannot learn the token
  } else {
    unknown = std::get<Failure>(*claim.outcome);
  }
  arguments.insert(arguments.end(),
                   {"unknown", age, life, "", "", std::to_string(static_cast<int>(unknown.reason)),
                    TextOf(unknown.audit_sequence), TextOf(unknown.upstream_code)});
}

void LocalClaims::Remove(Removal removal) {
  if (session_.contact() == RedisSession::Contact::kNone) {
    Keep(std::move(removal));
  } else {
    Send(std::move(removal));
  }
}

void LocalClaims::Retry() {
  for (Batch& batch : std::exchange(put_off_, {})) Write(std::move(batch));
  for (std::size_t left = std::min(removals_.size(), kRetriedRemovals); left > 0; --left) {
    Removal removal = std::move(removals_.front());
    removals_.pop_front();
    Remove(std::move(removal));
  }
}

void LocalClaims::Send(Removal removal) {
  std::vector<std::string> arguments = {ToArgument(removal.not_before), removal.request_id, removal.nonce,
                                        std::to_string(removal.waiter), OrganizationOf(removal.charges)};
  AppendCharges(removal.charges, arguments);
  session_.Run(RedisScripts::Get().remove, RedisSession::Writes::kNothing, std::move(arguments),
               [this, removal = std::move(removal)](const Result<RedisAnswer>& answer) mutable {
                 // After an error it is not known whether it was done.
                 if (!answer.ok() || answer->word() == "early") Keep(std::move(removal));
               });
}

void LocalClaims::Keep(Removal removal) {
  if (removals_.size() >= kMaxRemovals) removals_.pop_front();
  removals_.push_back(std::move(removal));
}

}  // namespace tokend::state
