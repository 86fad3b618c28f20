#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "daemon/loop/event_loop.h"
#include "daemon/upstream/central_calls.h"
#include "daemon/upstream/relayed_request.h"
#include "daemon/upstream/retry_budget.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

// A central tokend, which holds the API keys. Each Mint is one RelayedRequest, which calls the centre as
// often as it takes. Any thread may call the constructor; everything else is for the loop thread only. Stop
// must be called before the destructor.
class RelayUpstream final : public Upstream {
 public:
  // Callbacks, on the loop thread. Each may be empty.
  struct Observer {
    OnAnswer on_answer = {};
    std::function<void()> on_retry = {};
    RetryBudget::OnChange on_budget = {};
  };

  RelayUpstream(loop::EventLoop& loop, std::unique_ptr<CentralCalls> calls, Observer observer);

  void Mint(IntentReceipt receipt, const MintRequest& request, Done done) override;
  void Validate(const MintRequest& request, ValidateDone done) override;
  bool retries() const override { return true; }
  // Returns null: a relay sends the requests of every organization to the same central tokend.
  std::shared_ptr<const void> Hold(const std::string& /*organization*/) override { return nullptr; }
  // A relay has no API keys. The files of its credentials may have changed too.
  void UseKeys(const KeyRing& /*keys*/) override { calls_->RereadCredentials(); }
  std::uint64_t credentials_generation() const override { return calls_->credentials_generation(); }
  void Stop() override;

 private:
  std::unique_ptr<CentralCalls> calls_;
  RetryBudget budget_;
  RelayParts parts_;
};

}  // namespace tokend::upstream
