#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "daemon/state/state.h"

// What the ledger in memory keeps of a request, in little memory: there are as many as
// `requests.max_entries`.
namespace tokend::state {

// A Target, with all its texts in one block.
class PackedTarget {
 public:
  PackedTarget() = default;
  explicit PackedTarget(const Target& target);

  Target Unpack() const;

 private:
  std::string texts_;  // each after its length
};

// An outcome, or none. A failure is rare and large, so it has memory of its own.
class KeptOutcome {
 public:
  explicit operator bool() const { return !std::holds_alternative<std::monostate>(kept_); }
  KeptOutcome& operator=(Outcome outcome);
  void reset() { kept_ = std::monostate(); }

  // A copy of the outcome; there is one.
  Outcome Get() const;

  bool is_failure() const { return std::holds_alternative<std::unique_ptr<const Failure>>(kept_); }
  // Takes the failure, and leaves no outcome.
  std::unique_ptr<const Failure> TakeFailure();

 private:
  std::variant<std::monostate, Answered, std::unique_ptr<const Failure>> kept_;
};

}  // namespace tokend::state
