#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "daemon/issue/issuance.h"
#include "daemon/issue/issuer.h"

namespace tokend::issue {

// The issuer: every request is one Issuance on the one loop.
class LoopIssuer final : public Issuer {
 public:
  // What `stages` names outlives this.
  explicit LoopIssuer(const Stages& stages) : stages_(stages) {}

  std::shared_ptr<Call> Create(Caller caller, TokenRequest request,
                               std::chrono::steady_clock::time_point deadline, ReplyCallback reply) override;
  void Show(const Caller& caller, EntitlementCallback shown) override;
  void Refuse(const Caller* caller, std::string_view listener, std::string_view peer,
              std::string_view request_id, const Failure& failure) override;

 private:
  const Stages stages_;
};

}  // namespace tokend::issue
