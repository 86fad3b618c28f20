#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace tokend {

// Divides a pool of places among holders, so that no holder can keep the others out:
// - As long as more than a quarter of the places is free, every holder gets a place.
// - The last quarter is reserved for holders that have less than a quarter of the places.
// A pool of fewer than four places has no such reserve.
// One thread at a time.
class Shares {
 public:
  enum class Policy {
    kShared,     // as above
    kOneHolder,  // the configuration names only one holder, which may take the whole pool
  };

  explicit Shares(std::size_t places, Policy policy = Policy::kShared) : places_(places), policy_(policy) {}

  // Changes the number of places. Holders keep the places that they have.
  void Resize(std::size_t places, Policy policy) {
    places_ = places;
    policy_ = policy;
  }

  // Takes a place for this holder. False if none is available to it.
  bool Take(std::string_view holder) {
    if (!HasPlaceFor(holder)) return false;
    TakeAnyway(holder);
    return true;
  }

  // Takes a place without a check: the caller has applied a rule of its own.
  void TakeAnyway(std::string_view holder) {
    auto held = held_.find(holder);
    if (held == held_.end()) held = held_.emplace(holder, 0).first;
    ++held->second;
    ++taken_;
  }

  // Returns a place of this holder to the pool. Nothing changes if the holder has none.
  void GiveBack(std::string_view holder) {
    const auto held = held_.find(holder);
    if (held == held_.end()) return;
    if (--held->second == 0) held_.erase(held);
    --taken_;
  }

  bool HasPlaceFor(std::string_view holder) const {
    if (taken_ >= places_) return false;
    if (policy_ == Policy::kOneHolder || places_ < kFewestShared) return true;
    return places_ - taken_ > places_ / 4 || HeldBy(holder) < places_ / 4;
  }

  // How many places a holder gets that asks alone.
  std::size_t MostOfOne() const {
    const bool reserves = policy_ != Policy::kOneHolder && places_ >= kFewestShared;
    return reserves ? places_ - places_ / 4 : places_;
  }

  std::size_t HeldBy(std::string_view holder) const {
    const auto held = held_.find(holder);
    return held == held_.end() ? 0 : held->second;
  }

  // The holder of the most places; empty if no place is taken.
  std::string_view LargestHolder() const {
    const auto largest = std::max_element(held_.begin(), held_.end(), [](const auto& one, const auto& other) {
      return one.second < other.second;
    });
    return largest == held_.end() ? std::string_view() : largest->first;
  }

  std::size_t taken() const { return taken_; }
  std::size_t places() const { return places_; }

 private:
  static constexpr std::size_t kFewestShared = 4;

  std::size_t places_;
  Policy policy_;
  std::size_t taken_ = 0;
  std::map<std::string, std::size_t, std::less<>> held_;
};

}  // namespace tokend
