#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <variant>

#include "daemon/base/packed_texts.h"
#include "daemon/state/state.h"

// What the ledger in memory keeps of a request, in little memory: there are as many as
// `requests.max_entries`.
namespace tokend::state {

// A Target, or none.
class PackedTarget {
 public:
  PackedTarget() = default;
  explicit PackedTarget(const Target& target);

  Target Unpack() const;

 private:
  PackedTexts texts_;
};

// Stands for BearerLost.
struct LostBearer {
  std::uint64_t ended_by;
};

// An outcome, or none. A failure is rare and large, so it has memory of its own; those that a restart makes
// are many and alike.
class KeptOutcome {
 public:
  explicit operator bool() const { return !std::holds_alternative<std::monostate>(kept_); }
  KeptOutcome& operator=(Outcome outcome);
  KeptOutcome& operator=(LostBearer lost);
  void reset() { kept_ = std::monostate(); }

  // A copy of the outcome; there is one.
  Outcome Get() const;

  bool is_failure() const { return *this && !std::holds_alternative<Answered>(kept_); }
  // Takes the failure, and leaves no outcome.
  std::unique_ptr<const Failure> TakeFailure();

 private:
  std::variant<std::monostate, Answered, std::unique_ptr<const Failure>, LostBearer> kept_;
};

}  // namespace tokend::state
