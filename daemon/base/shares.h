#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace tokend {

// Divides a pool of places among its holders, so that no holder can keep the others out:
// - As long as a quarter of the places is free, every holder gets what it asks for.
// - The last quarter is for holders of less than a quarter of the places.
// A pool of fewer than four places has no shares: every free place is for anyone.
// One thread at a time.
class Shares {
 public:
  enum class Policy {
    kShared,     // as above
    kOneHolder,  // the configuration names one holder, so all of the pool is its
  };

  explicit Shares(std::size_t places, Policy policy = Policy::kShared) : places_(places), policy_(policy) {}

  // How many places there are from here on. Places that are held stay held.
  void Resize(std::size_t places, Policy policy) {
    places_ = places;
    policy_ = policy;
  }

  // Takes a place for this holder. False if the pool has none for it.
  bool Take(std::string_view holder) {
    if (!HasPlaceFor(holder)) return false;
    TakeAnyway(holder);
    return true;
  }

  // Takes a place by another rule than the pool's own.
  void TakeAnyway(std::string_view holder) {
    const auto held = held_.find(holder);
    if (held == held_.end()) {
      held_.emplace(holder, 1);
    } else {
      ++held->second;
    }
    ++taken_;
  }

  // Gives back a place that the holder has.
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

  std::size_t HeldBy(std::string_view holder) const {
    const auto held = held_.find(holder);
    return held == held_.end() ? 0 : held->second;
  }

  // The holder of the most places; empty where no place is taken.
  std::string_view LargestHolder() const {
    std::string_view largest;
    std::size_t most = 0;
    for (const auto& [holder, held] : held_) {
      if (held <= most) continue;
      largest = holder;
      most = held;
    }
    return largest;
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
