#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

#include "daemon/audit/audit_log.h"
#include "daemon/base/decision.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/issuer.h"
#include "daemon/issue/live_calls.h"
#include "daemon/issue/traffic.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/state.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/availability.h"
#include "daemon/upstream/upstream.h"

namespace tokend::issue {

// What issuances work with. All of it outlives every issuance.
struct Stages {
  loop::EventLoop& loop;
  const CurrentConfig& config;
  state::State& state;
  Traffic& traffic;
  audit::AuditLog& audit;
  upstream::Availability& availability;
  upstream::Upstream& upstream;
  telemetry::Metrics& metrics;
  LiveCalls& live;
};

// One request, from its decision to its recorded end; its methods are its steps, in order. It lives until
// then, whoever still listens. Start and Cancel: any thread; everything else: the loop's.
class Issuance final : public Call, public LiveCall, public std::enable_shared_from_this<Issuance> {
 public:
  // `deadline`: when the caller stops listening.
  Issuance(const Stages& stages, Caller caller, TokenRequest request, state::TimePoint deadline,
           ReplyCallback reply);

  void Start();
  void Cancel() override;
  void Stop() override;

 private:
  // Where the request stands. Up to kQueued, and while it pauses, it can still be called off.
  enum class Stage { kDeciding, kAdmitting, kQueued, kIntending, kMinting, kRecording, kPausing, kEnded };
  enum class CallerIs { kWaiting, kGone };

  void Admit();
  void OnAdmitted(state::AdmitResult claim);
  void Spend();
  void Queue();
  void OnTurn();
  void Intend();
  void OnIntentDurable(Result<IntentReceipt> intent);
  void OnMinted(IntentReceipt intent, MintOutcome outcome);
  void RecordOutcome(IntentReceipt intent, audit::Record record);
  void OnOutcomeDurable(Result<IssuedReceipt> issued);
  void OnOutcomeDurable(Result<std::uint64_t> sequence);

  // Another attempt, where nothing was created.
  void OnRefused(Failure failure);
  void Retry();

  // The ways off that path.
  void OnCancelled();
  bool CallOff();
  void GiveUp(const Failure& failure);
  void Decline(const Failure& failure);
  void OnIntentLost();
  void OnNoIntent();
  void OnOutcomeOverdue();
  void OnOutcomeLost();
  void RecordUnsent(IntentReceipt intent);
  void Validate();
  void RecordValidated();
  void Replay(const state::Answered& answered);
  void Fail(const Failure& failure);
  void Note(const Failure& failure);

  void EndMint(const char* outcome);
  void End(Reply reply);
  void Answer(Reply reply);
  void Leave();
  void WaitForRecord(loop::Task overdue);
  void StopWaiting();
  state::TimePoint LatestTurn() const;
  std::optional<Failure> EnterOrObstacle();
  audit::Record NewRecord() const;

  const Stages& stages_;
  const std::shared_ptr<const ConfigSnapshot> config_;
  const Caller caller_;
  const TokenRequest request_;
  const state::TimePoint deadline_;
  ReplyCallback reply_;  // empty once called
  std::optional<LiveCalls::Ticket> ticket_;

  Stage stage_ = Stage::kDeciding;
  CallerIs caller_is_ = CallerIs::kWaiting;
  std::optional<Permitted> permitted_;
  state::Charges charges_;
  state::Spent spent_;               // when they were spent
  std::optional<Failure> obstacle_;  // what a request that is not known already fails with
  std::optional<CallsInFlight::Place> running_;
  std::shared_ptr<const void> organization_;  // upstream's, so that it can be sent whatever is reloaded
  std::optional<UpstreamSlots::Place> place_;
  std::optional<upstream::Availability::Passage> passage_;
  std::optional<loop::TimerId> overdue_;
  std::optional<loop::TimerId> pause_;

  std::size_t attempts_ = 0;
  state::TimePoint intended_at_;
  std::uint64_t intent_ = 0;                             // its sequence number
  std::variant<Minted, Refused, Indeterminate> result_;  // of the POST, until its record is durable
  enum class Ledger { kRunning, kSettledAsUnknown } known_ = Ledger::kRunning;
};

}  // namespace tokend::issue
