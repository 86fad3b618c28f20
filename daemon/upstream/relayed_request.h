#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/timer.h"
#include "daemon/upstream/central_answer.h"
#include "daemon/upstream/central_calls.h"
#include "daemon/upstream/retry_budget.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

class RelayedRequest;

// What the requests of one relay share. It outlives each of them.
struct RelayParts {
  loop::EventLoop& loop;
  CentralCalls& calls;
  RetryBudget& budget;
  Upstream::OnAnswer on_answer;                             // may be empty, and so may on_retry
  std::function<void()> on_retry;                           // called when a request calls the centre again
  std::set<std::shared_ptr<RelayedRequest>> requests = {};  // those that have not ended
  bool stopping = false;                                    // no further call begins
  std::minstd_rand jitter{std::random_device{}()};
};

// One request that is passed on to a central tokend, by as many calls as it takes. All of them carry the same
// request_id, so the centre creates at most one token for them. Once a call may have reached the centre and
// has had no answer, the request ends with a token or as unknown: a refusal of another call says nothing of
// that one. Loop thread only.
class RelayedRequest final : public std::enable_shared_from_this<RelayedRequest> {
 public:
  using Done = absl::AnyInvocable<void(MintOutcome)>;

  // The request ends this long before the caller's deadline, so that the answer reaches the caller in time.
  static constexpr std::chrono::milliseconds kLastMoment{100};
  // A call that has had no answer for this long is made again on a new connection, while the first one runs.
  static constexpr std::chrono::seconds kSlow{5};

  RelayedRequest(RelayParts& relay, MintRequest request, Purpose purpose, Done done);

  // Makes the first call. Calls `done` exactly once, and never from within Start.
  void Start();

  // Ends the request. RelayParts::stopping must be true.
  void Stop();

 private:
  enum class Stage { kWaiting, kCalling, kEnded };
  using Connection = loop::HttpPost::Connection;

  void Call(Connection connection);
  std::vector<std::pair<std::string, std::string>> Metadata() const;
  void OnSlow();
  void OnAnswer(CentralAnswer answer);
  void OnDeadline();

  void GoOn();
  void CallElsewhere();
  bool IsRejectedEverywhere() const;
  std::optional<std::chrono::milliseconds> NextDelay();
  void EndWithLast();
  void EndUnanswered(const char* before);
  void End(MintResult result, Centre centre);
  void Become(Stage next);

  RelayParts& relay_;
  const MintRequest request_;
  const Purpose purpose_;
  Done done_;
  const std::chrono::steady_clock::time_point began_;
  const std::chrono::steady_clock::time_point latest_;  // when the request ends at the latest
  std::string message_;                                 // the CreateTokenRequest, the same in every call

  Stage stage_ = Stage::kWaiting;
  // Whether the centre can have seen one of the calls.
  const std::shared_ptr<loop::Sent> sent_ = std::make_shared<loop::Sent>(loop::Sent::kNo);
  std::size_t running_ = 0;  // calls without an answer
  std::size_t calls_ = 0;    // calls that have been made
  std::size_t pauses_ = 0;   // pauses that have begun
  bool unanswered_;          // a call that the centre may have seen has ended, or will end, without an answer
  loop::Timer deadline_;
  loop::Timer next_;  // the next call, or the second one beside a slow one

  CentralVerdict last_;                  // on the last call that ended
  bool last_answered_ = false;           // that call had a gRPC status
  std::optional<Replica> last_replica_;  // the replica that got that call
  std::set<Replica> rejected_by_;        // the replicas that do not know the relay
  std::size_t rejections_ = 0;
  std::uint64_t credentials_ = 0;  // the generation of the credentials in the last call
};

}  // namespace tokend::upstream
