#pragma once

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "daemon/identity/key_set.h"

namespace tokend::identity {

// An issuer's current public keys. Any thread.
class KeySource {
 public:
  using Keys = std::shared_ptr<const KeySet>;
  using Then = absl::AnyInvocable<void(Keys)>;

  virtual ~KeySource() = default;

  // Null while there are no usable keys.
  virtual Keys Current() const = 0;

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
