#include "daemon/upstream/relay.h"

#include <utility>
#include <variant>

namespace tokend::upstream {

RelayUpstream::RelayUpstream(loop::EventLoop& loop, std::unique_ptr<CentralCalls> calls, Observer observer)
    : calls_(std::move(calls)),
      budget_(std::move(observer.on_budget)),
      parts_{.loop = loop,
             .calls = *calls_,
             .budget = budget_,
             .on_answer = std::move(observer.on_answer),
             .on_retry = std::move(observer.on_retry)} {}

void RelayUpstream::Mint(IntentReceipt receipt, const MintRequest& request, Done done) {
  std::make_shared<RelayedRequest>(
      parts_, request, Purpose::kMint,
      [receipt = std::move(receipt), done = std::move(done)](MintOutcome outcome) mutable {
        done(std::move(receipt), std::move(outcome));
      })
      ->Start();
}

void RelayUpstream::Validate(const MintRequest& request, ValidateDone done) {
  std::make_shared<RelayedRequest>(parts_, request, Purpose::kValidate,
                                   [done = std::move(done)](MintOutcome outcome) mutable {
                                     if (auto* refused = std::get_if<Refused>(&outcome.result)) {
                                       return done(std::move(refused->failure));
                                     }
                                     if (auto* unclear = std::get_if<Indeterminate>(&outcome.result)) {
                                       return done(std::move(unclear->failure));
                                     }
                                     done(std::get<Minted>(std::move(outcome.result)).token);
                                   })
      ->Start();
}

void RelayUpstream::Stop() {
  parts_.stopping = true;
  calls_->Stop();
  const auto waiting = parts_.requests;  // a copy: each request leaves the set when it ends
  for (const auto& request : waiting) request->Stop();
}

}  // namespace tokend::upstream
