#pragma once

#include <string>
#include <utility>

#include "daemon/base/refusal_aggregator.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// The record of a refused call, as a report of a RefusalAggregator. Records are alike that have the same
// event, caller (with `on_behalf_of`), listener, reason, detail and target, and the same peer
// but for its port: one record with a count then keeps the peer and the request_id of the first.
class Refusal {
 public:
  Refusal(v1::Record record, Allowance allowance);

  std::string Key() const;
  std::string Account() const;
  std::string Cause() const;
  void Reduce();
  void KeepCommon(const Refusal& other);

  // The record of so many alike refusals.
  v1::Record Take(std::uint64_t count) &&;

 private:
  v1::Record record_;
  Allowance allowance_;
  bool reduced_ = false;
};

}  // namespace tokend::audit
