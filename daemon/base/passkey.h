#pragma once

namespace tokend {

// A constructor that takes a Passkey<Maker> can be called by Maker alone: an invariant that Maker
// establishes then holds for every object of the type.
template <class Maker>
class Passkey {
  friend Maker;
  Passkey() = default;  // NOLINT: must stay user-declared and private
};

}  // namespace tokend
