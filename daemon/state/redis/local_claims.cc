#include "daemon/state/redis/local_claims.h"

#include <algorithm>
#include <string>
#include <utility>

#include "daemon/base/form.h"
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
      claims_(loop, remember, nullptr) {}

void LocalClaims::Settle(const std::string& request_id, Outcome outcome, TimePoint intended_at) {
  LocalClaim* const claim = claims_.Find(request_id);
  if (claim == nullptr) return;
  claims_.Settle(*claim, std::move(outcome), intended_at);
  Change(request_id, *claim);
}

void LocalClaims::Release(const std::string& request_id) {
  LocalClaim* const claim = claims_.Find(request_id);
  if (claim == nullptr) return;
  Removal removal{.request_id = request_id, .nonce = std::move(claim->nonce)};
  claims_.Remove(request_id);
  Remove(std::move(removal));
}

void LocalClaims::Amend(const std::string& request_id, std::optional<Answered> answered,
                        TimePoint intended_at) {
  LocalClaim* const claim = claims_.Find(request_id);
  if (claim == nullptr || !claim->outcome || claim->intended_at != intended_at) return;
  if (!answered) return Release(request_id);
  // A token is sealed for its caller, who is not known of an earlier run's claim.
  if (claim->caller.empty()) return;
  claim->outcome = *std::move(answered);
  Change(request_id, *claim);
}

void LocalClaims::Restore(const std::string& request_id, const std::optional<RequestDigest>& digest,
                          Target target, std::uint64_t ended_by, TimePoint intended_at) {
  Begin(request_id, {.digest = digest, .first = std::move(target), .nonce = MakeUuid()});
  Settle(request_id, BearerLost(ended_by), intended_at);
}

void LocalClaims::Change(const std::string& request_id, LocalClaim& claim) {
  ++claim.version;
  if (session_.has_contact()) Write({{request_id}, nullptr});
}

void LocalClaims::WriteAll(RedisSession::Memory memory, absl::AnyInvocable<void()> done) {
  put_off_.clear();
  writing_ = std::make_shared<Writing>();
  const auto writing = writing_;
  writing->done = std::move(done);
  // The newest first: Redis has lost the last writes, and other replicas soon rely on what it has.
  claims_.ForEach([&](const std::string& request_id, LocalClaim& claim) {
    if (memory == RedisSession::Memory::kLost) claim.written = 0;
    if (claim.written < claim.version) writing->left.push_back(request_id);
  });
  WriteMore(writing);
}

void LocalClaims::WriteMore(const std::shared_ptr<Writing>& writing) {
  while (writing->running < kBatches && !writing->left.empty()) {
    std::vector<std::string> batch;
    for (; batch.size() < kBatch && !writing->left.empty(); writing->left.pop_front()) {
      batch.push_back(std::move(writing->left.front()));
    }
    ++writing->running;
    Write({std::move(batch), [this, writing] {
             --writing->running;
             // Contact may have been made again since, and another writing begun.
             if (writing == writing_) WriteMore(writing);
           }});
  }
  if (writing->running == 0 && writing->left.empty() && writing->done) {
    std::exchange(writing->done, nullptr)();
  }
}

void LocalClaims::Write(Batch batch) {
  const bool of_all = batch.done != nullptr;
  Arguments arguments = {of_all ? "1" : "0"};
  std::vector<std::pair<std::string, std::uint64_t>> versions;  // of each claim its nonce and version
  std::erase_if(batch.request_ids, [this](const std::string& id) { return Find(id) == nullptr; });
  for (const std::string& request_id : batch.request_ids) {
    const LocalClaim& claim = *Find(request_id);
    AddTo(arguments, request_id, claim);
    versions.emplace_back(claim.nonce, claim.version);
  }
  if (versions.empty()) {
    if (batch.done) batch.done();
    return;
  }
  session_.Run(RedisScripts::Get().put, std::move(arguments),
               [this, batch = std::move(batch),
                versions = std::move(versions)](const Result<RedisAnswer>& answer) mutable {
                 // After any other error contact is lost, and WriteAll writes these again.
                 if (answer.status().code() == absl::StatusCode::kResourceExhausted) {
                   return put_off_.push_back(std::move(batch));
                 }
                 if (!answer.ok()) return;
                 for (std::size_t i = 0; i < versions.size(); ++i) {
                   // The claim may have ended since, and another call may have claimed its request_id.
                   const auto& [nonce, version] = versions[i];
                   LocalClaim* const claim = claims_.Find(batch.request_ids[i]);
                   if (claim != nullptr && claim->nonce == nonce)
                     claim->written = std::max(claim->written, version);
                 }
                 if (batch.done) batch.done();
               });
}

void LocalClaims::AddTo(Arguments& arguments, const std::string& request_id, const LocalClaim& claim) const {
  arguments.insert(arguments.end(), {request_id, claim.digest ? std::string(BytesOf(*claim.digest)) : "",
                                     ToArgument(claim.first), claim.nonce});
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

void LocalClaims::Retry() {
  for (Batch& batch : std::exchange(put_off_, {})) Write(std::move(batch));
  for (std::size_t left = std::min(removals_.size(), kRetriedRemovals); left > 0; --left) {
    Removal removal = std::move(removals_.front());
    removals_.pop_front();
    Remove(std::move(removal));
  }
}

void LocalClaims::Remove(Removal removal) {
  if (!session_.has_contact()) return Keep(std::move(removal));
  Arguments arguments = {ToArgument(removal.not_before), removal.request_id, removal.nonce,
                         std::to_string(removal.waiter), OrganizationOf(removal.charges)};
  AppendCharges(removal.charges, arguments);
  session_.Run(RedisScripts::Get().remove, std::move(arguments),
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
