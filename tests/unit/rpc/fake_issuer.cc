#include "tests/unit/rpc/fake_issuer.h"

#include <chrono>
#include <stdexcept>
#include <utility>

#include "daemon/audit/audit_log.h"

namespace tokend::rpc {
namespace {

// Takes every record for durable at once: the only way to a receipt.
class InstantAuditLog final : public audit::AuditLog {
 public:
  void Note(audit::Record /*record*/) override {}
  void NoteRefusal(audit::Record /*record*/, Allowance /*allowance*/) override {}
  void Append(audit::Record /*record*/, Done<std::uint64_t> done) override { done(kAuditSequence); }

 protected:
  void Describe(const Token& /*token*/, audit::Record& /*record*/) const override {}
  void AppendReserved(audit::Record /*record*/, Done<std::uint64_t> done) override { done(kAuditSequence); }
};

std::shared_ptr<const Token> TokenFor(const TokenRequest& request) {
  auto token = std::make_shared<Token>();
  token->id = "0123456789abcdef01234567";
  token->organization = "aaaaaaaaaaaaaaaaaaaaaaaa";
  token->application = "bbbbbbbbbbbbbbbbbbbbbbbb";
  token->description = request.description();
  token->scopes = request.scopes();
  token->bearer = Bearer(kBearer);
  return token;
}

}  // namespace

void PendingRequest::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

bool PendingRequest::WaitCancelled() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [this] { return cancelled_; });
}

void PendingRequest::Reply(issue::Reply reply) { std::exchange(reply_, nullptr)(std::move(reply)); }

std::shared_ptr<issue::Call> FakeIssuer::Create(Caller caller, TokenRequest request,
                                                std::chrono::steady_clock::time_point deadline,
                                                issue::ReplyCallback reply) {
  auto pending =
      std::make_shared<PendingRequest>(std::move(caller), std::move(request), deadline, std::move(reply));
  Answerer answerer;
  {
    const std::lock_guard lock(mutex_);
    answerer = answerer_;
    if (!answerer) {
      pending_.push_back(pending);
      changed_.notify_all();
    }
  }
  if (answerer) answerer(pending);
  return pending;
}

void FakeIssuer::Show(const Caller& caller, issue::EntitlementCallback shown) {
  if (current_ == nullptr) return shown(Failure{Reason::kLimitsUnavailable});
  issue::Entitlement entitlement{current_->Get(), {}};
  policy::CallerGrants all = entitlement.config->policy.GrantsOf(caller.name());
  entitlement.more_grants = all.more;
  for (policy::CallerGrant& named : all.grants) {
    auto& grant = entitlement.grants.emplace_back();
    for (const config::Limit& limit : named.grant->limits)
      grant.limits.push_back({&limit, 1, std::chrono::milliseconds(2500)});
    grant.grant = std::move(named);
  }
  shown(std::move(entitlement));
}

void FakeIssuer::Refuse(const Caller* caller, std::string_view on_behalf_of, std::string_view listener,
                        std::string_view peer, std::string_view request_id, std::string_view trace,
                        const Failure& failure) {
  const std::lock_guard lock(mutex_);
  refusals_.push_back({caller != nullptr ? std::optional(caller->name()) : std::nullopt,
                       std::string(on_behalf_of), std::string(listener), std::string(peer),
                       std::string(request_id), std::string(trace), failure.reason});
}

void FakeIssuer::AnswerBy(Answerer answerer) {
  const std::lock_guard lock(mutex_);
  answerer_ = std::move(answerer);
}

std::shared_ptr<PendingRequest> FakeIssuer::Next() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return !pending_.empty(); })) {
    throw std::runtime_error("no request has reached the issuer");
  }
  auto next = pending_.front();
  pending_.pop_front();
  return next;
}

std::vector<Refusal> FakeIssuer::refusals() const {
  const std::lock_guard lock(mutex_);
  return refusals_;
}

issue::Released ReleasedFor(const TokenRequest& request, issue::Released::Kind kind) {
  std::shared_ptr<const Token> token = TokenFor(request);
  std::optional<IssuedReceipt> receipt;
  InstantAuditLog log;
  static_cast<audit::AuditLog&>(log).AppendReplayed(
      1, {}, *token, [&](Result<IssuedReceipt> issued) { receipt.emplace(*std::move(issued)); });
  return {*std::move(receipt), std::move(token), kind};
}

}  // namespace tokend::rpc
