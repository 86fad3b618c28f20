#pragma once

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "daemon/identity/key_set.h"

namespace tokend::identity {

// Where an issuer's keys come from. Any thread.
class KeySource {
 public:
  using Keys = std::shared_ptr<const KeySet>;
  using Then = absl::AnyInvocable<void(Keys)>;

  virtual ~KeySource() = default;

  // Null while there are none that may be used.
  virtual Keys Current() const = 0;

  // Calls `then` exactly once with the keys after they have been fetched again: at once where they need not
  // or must not be, and otherwise on another thread within kLongestWait.
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
