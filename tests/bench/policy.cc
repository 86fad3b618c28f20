#include "daemon/policy/policy.h"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "daemon/config/load.h"
#include "tests/fakes/requests.h"

// Measures what a decision costs with different numbers of grants, for 10,000 callers in turn, and what it
// costs to load the grants.
namespace tokend {
namespace {

constexpr std::size_t kCallers = 10'000;

std::string Team(std::size_t i) { return "team-" + std::to_string(i); }

// The callers pattern of grant i.
using CallersOf = std::string (*)(std::size_t i);

std::string Literal(std::size_t i) { return "spiffe://prod.example/ns/" + Team(i) + "/sa/builder"; }
std::string WithPrefix(std::size_t i) { return "spiffe://prod.example/ns/" + Team(i) + "/sa/*"; }
std::string WithSuffix(std::size_t i) { return "spiffe://prod.example/ns/*/sa/" + Team(i); }
std::string WithSegment(std::size_t i) { return "spiffe://*/ns/" + Team(i) + "/sa/*"; }
// For these patterns, an index does not help: each must be tried.
std::string WithPartOfASegment(std::size_t i) { return "spiffe://*/ns/*-" + Team(i) + "-*/sa/*"; }
std::string OneForAll(std::size_t) { return "spiffe://prod.example/ns/*/sa/*"; }

policy::Policy PolicyOf(std::size_t count, CallersOf callers_of) {
  std::vector<config::Grant> grants;
  for (std::size_t i = 0; i < count; ++i) {
    config::Grant grant;
    grant.name = Team(i);
    grant.callers = {callers_of(i)};
    grant.organizations = {"acme"};
    grant.applications = {"ios-" + std::to_string(i), "android-*"};
    grant.scopes = grant.default_scopes = {"sdk"};
    grant.description_template = "{description} [{caller}]";
    grants.push_back(std::move(grant));
  }
  return policy::Policy(grants, {{"acme", config::KeyFile{}}});
}

enum class Expected { kPermitted, kDenied };

// `name_of` gives the name of a caller to whom the grant with this number applies.
void Decide(benchmark::State& state, CallersOf callers_of, CallersOf name_of, const char* application,
            Expected expected) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const policy::Policy policy = PolicyOf(count, callers_of);
  std::vector<Caller> callers;
  for (std::size_t i = 0; i < kCallers; ++i) callers.push_back(fakes::CallerNamed(name_of(i % count)));
  const TokenRequest request = fakes::RequestFor({.application = application, .description = "nightly"});
  std::size_t next = 0;
  for (auto _ : state) {
    Decision decision = policy.Decide(callers[next], request);
    // Successive callers have grants far apart, so that no grant is still in the CPU's cache.
    next = (next + 7919) % kCallers;
    if (std::holds_alternative<Permitted>(decision) != (expected == Expected::kPermitted)) {
      state.SkipWithError("decided otherwise");
    }
    benchmark::DoNotOptimize(decision);
  }
}

std::string SuffixName(std::size_t i) { return "spiffe://prod.example/ns/shop/sa/" + Team(i); }
std::string PartName(std::size_t i) { return "spiffe://prod.example/ns/a-" + Team(i) + "-b/sa/builder"; }
std::string Stranger(std::size_t i) { return "spiffe://prod.example/ns/other-" + Team(i) + "/sa/builder"; }

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
#define TOKEND_AT_EACH_SIZE Arg(10)->Arg(1000)->Arg(10000)
BENCHMARK_CAPTURE(Decide, Literal, Literal, Literal, "android-x", Expected::kPermitted)->TOKEND_AT_EACH_SIZE;
BENCHMARK_CAPTURE(Decide, Prefix, WithPrefix, Literal, "android-x", Expected::kPermitted)
    ->TOKEND_AT_EACH_SIZE;
BENCHMARK_CAPTURE(Decide, Suffix, WithSuffix, SuffixName, "android-x", Expected::kPermitted)
    ->TOKEND_AT_EACH_SIZE;
BENCHMARK_CAPTURE(Decide, Segment, WithSegment, Literal, "android-x", Expected::kPermitted)
    ->TOKEND_AT_EACH_SIZE;
BENCHMARK_CAPTURE(Decide, DeniedStranger, WithPrefix, Stranger, "android-x", Expected::kDenied)
    ->TOKEND_AT_EACH_SIZE;
BENCHMARK_CAPTURE(Decide, DeniedApplication, WithPrefix, Literal, "web-shop", Expected::kDenied)
    ->TOKEND_AT_EACH_SIZE;
BENCHMARK_CAPTURE(Decide, WorstPartOfASegment, WithPartOfASegment, PartName, "android-x",
                  Expected::kPermitted)
    ->TOKEND_AT_EACH_SIZE;
BENCHMARK_CAPTURE(Decide, WorstEveryGrantNamesTheCaller, OneForAll, Literal, "web-shop", Expected::kDenied)
    ->TOKEND_AT_EACH_SIZE;

std::string ConfigurationOf(std::size_t count, CallersOf callers_of) {
  std::string text =
      "listeners:\n  - {name: a, address: 127.0.0.1:0, authentication: {jwt: {issuer: i, audience: a, "
      "jwks_file: /j, trust_domain: prod.example}}}\n"
      "upstream: {applivery: {organizations: [{name: acme, api_key: {file: /k}}]}}\n"
      "audit: {stdout: {}}\npolicy:\n  grants:\n";
  for (std::size_t i = 0; i < count; ++i) {
    text += "    - name: " + Team(i) + "\n      callers: [\"" + callers_of(i) +
            "\"]\n      applications: [ios-" + std::to_string(i) + ", \"android-*\"]\n      scopes: [sdk]\n";
  }
  return text;
}

void Load(benchmark::State& state, CallersOf callers_of) {
  const std::string text = ConfigurationOf(static_cast<std::size_t>(state.range(0)), callers_of);
  for (auto _ : state) {
    const config::LoadResult loaded =
        config::Parse(text, "bench.yaml", nullptr, config::NamedFiles::kIgnored);
    if (!loaded.config) {
      state.SkipWithError("not loaded");
      break;
    }
    const policy::Policy policy(loaded.config->grants, loaded.config->applivery.organizations);
    benchmark::DoNotOptimize(policy);
  }
  state.counters["bytes"] = static_cast<double>(text.size());
}
BENCHMARK_CAPTURE(Load, Prefix, WithPrefix)->TOKEND_AT_EACH_SIZE->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Load, PartOfASegment, WithPartOfASegment)
    ->TOKEND_AT_EACH_SIZE->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Load, EveryGrantNamesTheCaller, OneForAll)
    ->TOKEND_AT_EACH_SIZE->Unit(benchmark::kMillisecond);
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

}  // namespace
}  // namespace tokend
