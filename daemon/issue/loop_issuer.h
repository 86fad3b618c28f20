#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "daemon/issue/issuance.h"
#include "daemon/issue/issuer.h"

namespace tokend::issue {

// The issuer of the daemon: every request is one Issuance on the one loop.
class LoopIssuer final : public Issuer {
 public:
  // What `stages` names outlives this.
  explicit LoopIssuer(const Stages& stages) : stages_(stages) {}
  // Ends the requests that still wait, which hold claims and places in what `stages` names. The loop has
  // stopped, or this is its thread.
  ~LoopIssuer() override { stages_.live.Stop(); }
  LoopIssuer(const LoopIssuer&) = delete;
  LoopIssuer& operator=(const LoopIssuer&) = delete;

  std::shared_ptr<Call> Create(Caller caller, TokenRequest request,
                               std::chrono::steady_clock::time_point deadline, ReplyCallback reply) override;
  void Show(const Caller& caller, EntitlementCallback shown) override;
  void Refuse(const Caller* caller, std::string_view on_behalf_of, std::string_view listener,
              std::string_view peer, std::string_view request_id, std::string_view trace,
              const Failure& failure) override;

 private:
  const Stages stages_;
};

}  // namespace tokend::issue
