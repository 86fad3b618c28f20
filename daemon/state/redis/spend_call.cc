#include "daemon/state/redis/spend_call.h"

#include <cassert>
#include <utility>

#include "daemon/state/redis/scripts.h"

namespace tokend::state {

SpendCall::SpendCall(const Parts& parts, Order order, Done done)
    : parts_(parts), order_(std::move(order)), done_(std::move(done)), number_(parts.turns.NewNumber()) {
  const bool claims = !order_.claim.empty();
  AppendCall(number_, order_.charges, order_.latest - parts_.loop.clock().Now(), order_.claim);
  parts_.session.Run(claims ? RedisScripts::Get().admit : RedisScripts::Get().spend, std::move(order_.claim),
                     [this](Result<RedisAnswer> answer) { OnAnswer(std::move(answer)); });
}

void SpendCall::OnAnswer(Result<RedisAnswer> answer) {
  if (!answer.ok()) {
    if (MayHaveRun(answer.status())) Undo(parts_.session.LatestRun());
    return End(NoContact{answer.status()});
  }
  if (answer->word() == "waits") return OnWaits(*answer);
  if (answer->word() == "limited") return End(parts_.turns.Limited(order_.charges, *answer));
  if (answer->word() != "fresh") return End(*std::move(answer));
  const SpentInRedis spent{.own = answer->Time(0), .organization = answer->Time(1)};
  if (cancelled_) {
    GiveBackInRedis(parts_.session, order_.charges, spent);
    if (order_.request_id != "-") {
      parts_.claims.Remove({.request_id = order_.request_id, .nonce = order_.nonce});
    }
  }
  End(spent);
}

void SpendCall::OnWaits(const RedisAnswer& answer) {
  // Turns are asked for while there is contact. Calls that waited when it was lost have been told already.
  if (cancelled_ || !parts_.session.has_contact()) {
    Undo({});
    return End(NoContact{parts_.session.health()});
  }
  SetPhase(Phase::kInQueue);
  parts_.turns.Add(number_, order_.charges, order_.latest, answer, [this](SpendResult result) {
    if (const Spent* spent = std::get_if<Spent>(&result)) return End(std::get<SpentInRedis>(*spent));
    End(std::get<Failure>(std::move(result)));
  });
}

void SpendCall::Cancel() {
  cancelled_ = true;
  if (LeaveQueue()) End(Cancelled{});
}

void SpendCall::LoseContact(const Status& why) {
  if (LeaveQueue()) End(NoContact{why});
}

// False if it is in no queue.
bool SpendCall::LeaveQueue() {
  if (phase_ != Phase::kInQueue) return false;
  parts_.turns.Remove(number_);
  Undo({});
  return true;
}

// Undoes what the script did, or may yet do until `not_before`.
void SpendCall::Undo(RedisTime not_before) {
  parts_.claims.Remove({.request_id = order_.request_id,
                        .nonce = order_.nonce,
                        .waiter = number_,
                        .charges = order_.charges,
                        .not_before = not_before});
}

void SpendCall::SetPhase(Phase next) {
  assert((phase_ == Phase::kAsked && next != Phase::kAsked) ||
         (phase_ == Phase::kInQueue && next == Phase::kEnded));
  phase_ = next;
}

void SpendCall::End(Ending ending) {
  SetPhase(Phase::kEnded);
  Done done = std::move(done_);
  done(cancelled_ ? Cancelled{} : std::move(ending));
}

void GiveBackInRedis(RedisSession& session, const Charges& charges, SpentInRedis spent) {
  if (charges.empty() || !session.is_open()) return;
  Arguments arguments = {ToArgument(spent.own), ToArgument(spent.organization)};
  AppendCharges(charges, arguments);
  session.Run(RedisScripts::Get().give_back, std::move(arguments), [](const Result<RedisAnswer>&) {});
}

}  // namespace tokend::state
