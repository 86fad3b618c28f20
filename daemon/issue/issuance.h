#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

#include "daemon/audit/audit_log.h"
#include "daemon/base/decision.h"
#include "daemon/issue/config_snapshot.h"
#include "daemon/issue/issuer.h"
#include "daemon/issue/live_calls.h"
#include "daemon/issue/upstream_slots.h"
#include "daemon/loop/event_loop.h"
#include "daemon/state/request_ledger.h"
#include "daemon/telemetry/metrics.h"
#include "daemon/upstream/upstream.h"

namespace tokend::issue {

// What issuances work with. All of it outlives every issuance.
struct Stages {
  loop::EventLoop& loop;
  const CurrentConfig& config;
  state::RequestLedger& ledger;
  UpstreamSlots& slots;
  audit::AuditLog& audit;
  upstream::Upstream& upstream;
  telemetry::Metrics& metrics;
  LiveCalls& live;
};

// One request, from its decision to its recorded end; its methods are its steps, in order. It lives until
// then, whoever still listens. Start and Cancel: any thread; everything else: the loop's.
class Issuance final : public Call, public std::enable_shared_from_this<Issuance> {
 public:
  Issuance(const Stages& stages, Caller caller, TokenRequest request, ReplyCallback reply);

  void Start();
  void Cancel() override;

 private:
  // Where the request stands. Up to kQueued its caller can still call it off.
  enum class Stage { kDeciding, kJoined, kQueued, kIntending, kMinting, kRecording, kEnded };
  enum class CallerIs { kWaiting, kGone };
  using Turn = UpstreamSlots::Turn;

  void Claim();
  void OnClaimed(state::Claim claim);
  void OnAdmitted(Turn turn);
  void OnIntentDurable(Result<IntentReceipt> intent);
  void OnMinted(IntentReceipt intent, MintOutcome outcome);
  void OnOutcomeDurable(Result<IssuedReceipt> issued);
  void OnOutcomeDurable(Result<std::uint64_t> sequence);

  // The ways off that path.
  void OnCancelled();
  void OnIntentLost();
  void OnOutcomeOverdue();
  void RecordUnsent(IntentReceipt intent);
  void Validate();
  void Replay(const state::Answered& answered);
  void Fail(const Failure& failure);
  void Note(const Failure& failure);

  void EndMint(const char* outcome);
  void End(Reply reply);
  void Answer(Reply reply);
  void WaitForRecord(loop::Task overdue);
  void StopWaiting();
  audit::Record NewRecord() const;

  const Stages& stages_;
  const std::shared_ptr<const ConfigSnapshot> config_;
  const Caller caller_;
  const TokenRequest request_;
  ReplyCallback reply_;  // empty once called
  std::optional<LiveCalls::Ticket> ticket_;

  Stage stage_ = Stage::kDeciding;
  CallerIs caller_is_ = CallerIs::kWaiting;
  std::optional<Permitted> permitted_;
  std::optional<UpstreamSlots::Place> place_;
  std::optional<loop::TimerId> overdue_;

  state::RequestLedger::TimePoint intended_at_;
  std::uint64_t intent_ = 0;                             // its sequence number
  std::variant<Minted, Refused, Indeterminate> result_;  // of the POST, until its record is durable
  enum class Ledger { kRunning, kSettledAsUnknown } known_ = Ledger::kRunning;
};

}  // namespace tokend::issue
