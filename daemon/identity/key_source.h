#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "daemon/identity/key_set.h"

namespace tokend::identity {

// The keys of a source that fetches them.
struct FetchedKeys {
  bool usable = false;                          // whether callers can be known by them
  std::optional<std::chrono::nanoseconds> age;  // since the last fetch that succeeded, by the steady clock
  std::string error;                            // of the last fetch, in fixed words; empty if it succeeded
};

// An issuer's current public keys. Any thread.
class KeySource {
 public:
  using Keys = std::shared_ptr<const KeySet>;
  using Then = absl::AnyInvocable<void(Keys)>;

  virtual ~KeySource() = default;

  // Null while there are no usable keys.
  virtual Keys Current() const = 0;

  // Nothing where the keys are not fetched.
  virtual std::optional<FetchedKeys> fetched() const { return std::nullopt; }

  // Calls `then` exactly once, with the keys after a fetch: before it returns where no fetch is needed or
  // allowed, else on the loop thread within kLongestWait. `then` must not block.
  virtual void Renew(Then then) = 0;
};

// Keys that stay as they are.
class FixedKeySource final : public KeySource {
 public:
  explicit FixedKeySource(Keys keys) : keys_(std::move(keys)) {}

  Keys Current() const override { return keys_; }
  void Renew(Then then) override { then(keys_); }

 private:
  const Keys keys_;
};

}  // namespace tokend::identity
