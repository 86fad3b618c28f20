#include <benchmark/benchmark.h>
#include <malloc.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/state/memory/memory_state.h"
#include "daemon/state/rate_limiter.h"
#include "tests/fakes/hand_cranked_loop.h"

// Measures the memory that limits and request_ids need.
namespace tokend::state {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::seconds;

// The number of bytes that are allocated now.
double AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

// Requests with three charges: two for limits of the caller and one for the organization's limit. No limit is
// ever reached, and a caller's buckets need an hour to fill up after its request.
class Callers {
 public:
  explicit Callers(std::size_t callers) {
    std::mt19937_64 random(1);
    keys_.reserve(callers);
    for (std::size_t caller = 0; caller < callers; ++caller) {
      LimitKey key;
      const std::array<std::uint64_t, 2> bytes{random(), random()};
      std::memcpy(key.data(), bytes.data(), key.size());
      keys_.push_back(key);
    }
    order_ = random;
  }

  const Charges& Any() {
    const LimitKey& key = keys_[order_() % keys_.size()];
    charges_.own[0].key = charges_.own[1].key = key;
    charges_.own[1].key[0] = static_cast<unsigned char>(~key[0]);
    return charges_;
  }

 private:
  static Rate Ample() {
    return Rate(config::Limit{.name = {}, .tokens = 1000000000, .per = hours(720), .burst = 1000000000});
  }

  std::vector<LimitKey> keys_;
  std::mt19937_64 order_;
  Charges charges_{.own = {{{}, Ample(), "mobile-ci/minute"}, {{}, Ample(), "mobile-ci/day"}},
                   .organization = {{{}, Ample(), "acme/upstream-hourly"}},
                   .organization_name = "acme",
                   .caller = "spiffe://prod.example/ns/shop/sa/checkout"};
};

void LimiterSpendsThreeCharges(benchmark::State& state) {
  Callers callers(static_cast<std::size_t>(state.range(0)));
  fakes::HandCrankedLoop loop;
  const double before = AllocatedBytes();
  RateLimiter limiter(loop);
  const auto spend = [&] {
    limiter.Spend(callers.Any(), loop.clock().Now() + seconds(1), &loop, [&state](const SpendResult& result) {
      if (!std::holds_alternative<Spent>(result)) state.SkipWithError("refused");
    });
  };
  for (std::int64_t call = 0; call < 3 * state.range(0); ++call) spend();
  for (auto _ : state) spend();
  const auto buckets = static_cast<double>(limiter.buckets().size());
  state.counters["buckets"] = buckets;
  state.counters["bytes_a_bucket"] = (AllocatedBytes() - before) / buckets;
}
BENCHMARK(LimiterSpendsThreeCharges)->ArgName("callers")->Arg(1)->Arg(1000)->Arg(1000000);

// With as many known request_ids as arrive within `remember`: the ledger forgets each outcome after that many
// further requests.
void MemoryStateAdmitsAndSettles(benchmark::State& state) {
  constexpr microseconds kBetweenCalls{10};
  Callers callers(1000);
  fakes::HandCrankedLoop loop;
  const double before = AllocatedBytes();
  const auto remember = std::chrono::duration_cast<std::chrono::milliseconds>(kBetweenCalls * state.range(0));
  MemoryState memory(loop, {.remember = remember, .max_entries = 10'000'000});
  std::uint64_t last = 0;
  const auto admit_and_settle = [&] {
    Admission admission{.request_id = LedgerId(
                            "ci", "", "6f1c2f5e-6a0b-4f5e-9f" + std::to_string(100'000'000'000'000 + ++last)),
                        .digest = DigestOf("ci", "acme", "ios-app", {"sdk"}, "nightly build"),
                        .caller = "ci",
                        .charges = callers.Any(),
                        .latest = loop.clock().Now() + seconds(1)};
    const std::string id = admission.request_id;
    memory.Admit(std::move(admission), &last, [&state](const AdmitResult& result) {
      if (!std::holds_alternative<Fresh>(result)) state.SkipWithError("not admitted");
    });
    auto token = std::make_shared<Token>();
    token->bearer = Bearer("a-bearer-of-some-40-characters-as-upstream");
    memory.Settle(id, Answered{std::move(token), last}, loop.clock().Now());
    loop.Advance(kBetweenCalls);
  };
  for (std::int64_t call = 0; call < state.range(0); ++call) admit_and_settle();
  state.counters["bytes_a_request_id"] = (AllocatedBytes() - before) / static_cast<double>(memory.entries());
  for (auto _ : state) admit_and_settle();
  state.counters["known"] = static_cast<double>(memory.entries());
}
BENCHMARK(MemoryStateAdmitsAndSettles)->ArgName("known")->Arg(1000)->Arg(100000);

}  // namespace
}  // namespace tokend::state
