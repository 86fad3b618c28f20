#pragma once

namespace tokend {

// Only Maker can call a constructor that takes a Passkey<Maker>. An invariant that Maker establishes then
// holds for every object of the type.
template <class Maker>
class Passkey {
  friend Maker;
  Passkey() = default;  // NOLINT: must stay user-declared and private
};

}  // namespace tokend
