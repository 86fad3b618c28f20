#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace tokend::telemetry {

struct CallCounts {
  std::uint64_t calls = 0;
  std::uint64_t refused = 0;  // how many of the calls were refused
};

// Counts calls by caller in bounded memory, by the algorithm of Misra and Gries. The counts of up to
// `max_names` names are exact. With more names a count may be too low by at most missed(), and every name
// with more calls than missed() is counted. One thread at a time.
class FrequentNames {
 public:
  explicit FrequentNames(std::size_t max_names) : max_names_(max_names) {}

  void Add(std::string_view name, bool refused) {
    auto found = counts_.find(name);
    if (found == counts_.end()) {
      if (counts_.size() >= max_names_) return TakeOneOfEach();
      found = counts_.try_emplace(std::string(name)).first;
    }
    ++found->second.calls;
    if (refused) ++found->second.refused;
  }

  const std::map<std::string, CallCounts, std::less<>>& counts() const { return counts_; }
  std::uint64_t missed() const { return missed_; }

  void Clear() {
    counts_.clear();
    missed_ = 0;
  }

 private:
  // This takes away as many calls as there are names, so it runs seldom: a call costs one step on average.
  void TakeOneOfEach() {
    ++missed_;
    for (auto& [name, counts] : counts_) {
      --counts.calls;
      counts.refused = std::min(counts.refused, counts.calls);
    }
    std::erase_if(counts_, [](const auto& counted) { return counted.second.calls == 0; });
  }

  const std::size_t max_names_;
  std::map<std::string, CallCounts, std::less<>> counts_;
  std::uint64_t missed_ = 0;
};

}  // namespace tokend::telemetry
