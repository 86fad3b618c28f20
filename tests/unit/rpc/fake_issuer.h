#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "daemon/issue/issuer.h"

namespace tokend::rpc {

// How long a test waits for what must happen.
inline constexpr std::chrono::seconds kPatience{60};

// A request that has reached the issuer and is to be answered by the test. Any thread.
class PendingRequest final : public issue::Call {
 public:
  PendingRequest(Caller caller, TokenRequest request, std::chrono::steady_clock::time_point deadline,
                 issue::ReplyCallback reply)
      : caller_(std::move(caller)),
        request_(std::move(request)),
        deadline_(deadline),
        reply_(std::move(reply)) {}

  void Cancel() override;

  // Whether it is cancelled within a minute.
  bool WaitCancelled();

  void Reply(issue::Reply reply);

  // Gives the callback up unanswered, as a loop that stops does.
  void Drop() { reply_ = nullptr; }

  const Caller& caller() const { return caller_; }
  const TokenRequest& request() const { return request_; }
  std::chrono::steady_clock::time_point deadline() const { return deadline_; }

 private:
  Caller caller_;
  TokenRequest request_;
  std::chrono::steady_clock::time_point deadline_;
  issue::ReplyCallback reply_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
};

struct Refusal {
  std::optional<std::string> caller;
  std::string on_behalf_of;
  std::string listener;
  std::string peer;
  std::string request_id;
  std::string trace;
  Reason reason;
};

// Hands requests to the test, or to what the test has set to answer them. Any thread.
class FakeIssuer final : public issue::Issuer {
 public:
  using Answerer = std::function<void(std::shared_ptr<PendingRequest>)>;

  std::shared_ptr<issue::Call> Create(Caller caller, TokenRequest request,
                                      std::chrono::steady_clock::time_point deadline,
                                      issue::ReplyCallback reply) override;
  void Show(const Caller& caller, issue::EntitlementCallback shown) override;
  void Refuse(const Caller* caller, std::string_view on_behalf_of, std::string_view listener,
              std::string_view peer, std::string_view request_id, std::string_view trace,
              const Failure& failure) override;

  // What Show tells of: the grants of this configuration, each of whose limits has one token left,
  // and another in 2.5 s. Without it
  // Show fails with LIMITS_UNAVAILABLE.
  void ShowFrom(const issue::CurrentConfig& current) { current_ = &current; }

  // From here on each request goes to `answerer`, on the thread of the call.
  void AnswerBy(Answerer answerer);

  // The oldest request that nobody has taken. Throws std::runtime_error if none comes within a minute.
  std::shared_ptr<PendingRequest> Next();

  std::vector<Refusal> refusals() const;

 private:
  const issue::CurrentConfig* current_ = nullptr;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<PendingRequest>> pending_;
  std::vector<Refusal> refusals_;
  Answerer answerer_;
};

inline constexpr char kBearer[] = "a-bearer-of-the-tests";
inline constexpr std::uint64_t kAuditSequence = 7;

// A token for this request, and proof of a record with the sequence number kAuditSequence.
issue::Released ReleasedFor(const TokenRequest& request,
                            issue::Released::Kind kind = issue::Released::Kind::kIssued);

}  // namespace tokend::rpc
