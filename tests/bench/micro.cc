#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "daemon/audit/chain.h"
#include "daemon/audit/log_reader.h"
#include "daemon/base/sha256.h"
#include "daemon/policy/policy.h"
#include "daemon/state/memory/memory_state.h"
#include "daemon/upstream/answer.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/requests.h"

// Measures what one call costs in each part of the daemon, without I/O.
namespace tokend {
namespace {

constexpr char kRequestId[] = "6f1c2f5e-6a0b-4f5e-9f57-0d1a0f0b3c11";

void PolicyDecidesByTheLastOfTenGrants(benchmark::State& state) {
  std::vector<config::Grant> grants;
  for (int i = 0; i < 10; ++i) {
    config::Grant grant;
    grant.name = "team-" + std::to_string(i);
    grant.callers = {"spiffe://prod.example/ns/" + grant.name + "/sa/*"};
    grant.organizations = {"acme"};
    grant.applications = {"ios-app", "android-*"};
    grant.scopes = grant.default_scopes = {"sdk"};
    grant.description_template = "{description} [{caller} {request_id}]";
    grants.push_back(std::move(grant));
  }
  const policy::Policy policy(grants, {{"acme", config::KeyFile{}}});
  const Caller caller = fakes::CallerNamed("spiffe://prod.example/ns/team-9/sa/builder");
  const TokenRequest request =
      fakes::RequestFor({.application = "android-beta", .description = "nightly build"});
  for (auto _ : state) {
    Decision decision = policy.Decide(caller, request);
    if (!std::holds_alternative<Permitted>(decision)) state.SkipWithError("denied");
    benchmark::DoNotOptimize(decision);
  }
}
BENCHMARK(PolicyDecidesByTheLastOfTenGrants);

// With 100,000 known request_ids: the ledger forgets each outcome 100,000 claims later.
void LedgerClaimsSettlesAndForgets(benchmark::State& state) {
  constexpr std::chrono::microseconds kBetweenClaims{10};
  fakes::HandCrankedLoop loop;
  state::MemoryState ledger(loop, {.remember = std::chrono::seconds(1), .max_entries = 1'000'000});
  auto token = std::make_shared<Token>();
  token->bearer = Bearer("a-bearer");
  std::uint64_t last = 0;
  const auto claim = [&] {
    const std::string id =
        state::LedgerId("ci", "", std::string(kRequestId, 20) + std::to_string(1'000'000'000 + ++last));
    const auto digest = state::DigestOf("ci", "acme", "ios-app", {"sdk"}, "nightly build");
    ledger.Admit({.request_id = id, .digest = digest}, &last,
                 [](const state::AdmitResult& answer) { benchmark::DoNotOptimize(answer); });
    ledger.Settle(id, state::Answered{token, last}, loop.clock().Now());
    loop.Advance(kBetweenClaims);
  };
  while (last < 100000) claim();
  for (auto _ : state) claim();
  state.counters["known"] = static_cast<double>(ledger.entries());
}
BENCHMARK(LedgerClaimsSettlesAndForgets);

audit::v1::Record IssuedRecord() {
  audit::v1::Record record;
  record.set_event("token.issued");
  record.set_request_id(kRequestId);
  record.set_intent(123456);
  record.mutable_caller()->set_name("spiffe://prod.example/ns/shop/sa/checkout");
  record.mutable_caller()->set_authentication("mtls");
  record.mutable_caller()->set_listener("cluster");
  record.mutable_caller()->set_peer("ipv4:10.0.0.7:4711");
  record.mutable_target()->set_organization("acme");
  record.mutable_target()->set_application("ios-app");
  record.mutable_target()->add_scopes("sdk");
  record.mutable_target()->set_description("nightly build [spiffe://prod.example/ns/shop/sa/checkout]");
  record.set_grant("mobile-ci");
  record.mutable_upstream()->set_http_status(200);
  record.mutable_upstream()->set_latency_us(84123);
  record.mutable_upstream()->set_key_generation(1);
  record.mutable_token()->set_id("5f0c1a2b3c4d5e6f7a8b9c0d");
  record.mutable_token()->set_fingerprint("hmac-sha256:" + std::string(64, '0'));
  return record;
}

void AuditChainsARecord(benchmark::State& state) {
  audit::v1::Record record = IssuedRecord();
  audit::Chain chain({}, "0123456789abcdef", loop::SystemClock());
  std::size_t bytes = 0;
  for (auto _ : state) bytes += chain.Add(record).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(AuditChainsARecord);

// What tokenctl and a start of the daemon do with each line of the log.
void AuditReadsARecord(benchmark::State& state) {
  audit::v1::Record record = IssuedRecord();
  std::string line = audit::Chain({}, "0123456789abcdef", loop::SystemClock()).Add(record);
  const std::size_t size = line.size();
  line.resize(size + simdjson::SIMDJSON_PADDING);
  audit::LineParser parser;
  for (auto _ : state) {
    if (parser.Parse(std::string_view(line).substr(0, size)) == nullptr) state.SkipWithError("no record");
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * size));
}
BENCHMARK(AuditReadsARecord);

void AuditHashesALine(benchmark::State& state) {
  audit::v1::Record record = IssuedRecord();
  const std::string line = audit::Chain({}, "0123456789abcdef", loop::SystemClock()).Add(record);
  for (auto _ : state) benchmark::DoNotOptimize(Sha256Hex(line));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * line.size()));
}
BENCHMARK(AuditHashesALine);

void UpstreamJudgesAnAnswer(benchmark::State& state) {
  const upstream::MintRequest request{"acme", "ios-app", "nightly build", {"sdk"}};
  loop::HttpAnswer answer;
  answer.sent = loop::Sent::kYes;
  answer.ending = loop::Ending::kComplete;
  answer.status = 200;
  answer.body = Secret(
      R"({"status":true,"data":{"id":"aaaaaaaaaaaaaaaaaaaaaaaa","organization":"0123456789abcdef01234567",)"
      R"("application":"bbbbbbbbbbbbbbbbbbbbbbbb","description":"nightly build","bearer":"a-bearer","scopes":["sdk"],)"
      R"("createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}})");
  for (auto _ : state) {
    MintOutcome outcome = upstream::Judge(answer, request);
    if (!std::holds_alternative<Minted>(outcome.result)) state.SkipWithError("rejected");
    benchmark::DoNotOptimize(outcome);
  }
}
BENCHMARK(UpstreamJudgesAnAnswer);

}  // namespace
}  // namespace tokend
