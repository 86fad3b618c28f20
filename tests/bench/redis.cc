#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/form.h"
#include "daemon/state/redis/connection.h"
#include "daemon/state/redis/redis_state.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/turned_loop.h"

// Measures requests through a real Redis on this machine: each is admitted under two limits and settled with
// its token. All use one connection, with a number of requests at a time.
namespace tokend::state {
namespace {

using std::chrono::seconds;

Charge ChargeOf(const std::string& name) {
  return {KeyOf({name}), Rate({.name = name, .tokens = 1'000'000, .per = seconds(1), .burst = 1'000'000'000}),
          "grant/" + name};
}

class Requests {
 public:
  Requests(fakes::TurnedLoop& loop, RedisState& state) : loop_(loop), state_(state) {}

  void Start() {
    const std::string id = MakeUuid();
    ++running_;
    state_.Admit({.request_id = id,
                  .digest = DigestOf("ci", "acme", "ios-app", {"sdk"}, id),
                  .caller = "ci",
                  .charges = charges_,
                  .latest = loop_.clock().Now() + seconds(10)},
                 this, [this, id](const AdmitResult& result) {
                   if (!std::holds_alternative<Fresh>(result)) std::abort();
                   state_.Settle(id, Answered{token_, 1}, loop_.clock().Now());
                   --running_;
                   ++done_;
                 });
  }
  std::size_t running() const { return running_; }
  std::size_t done() const { return done_; }

 private:
  static std::shared_ptr<const Token> MakeToken() {
    auto token = std::make_shared<Token>();
    token->id = std::string(24, 'a');
    token->description = "nightly build";
    token->scopes = {"sdk"};
    token->bearer = Bearer(std::string(64, 'b'));
    return token;
  }

  fakes::TurnedLoop& loop_;
  RedisState& state_;
  const Charges charges_{.own = {ChargeOf("own")},
                         .organization = {ChargeOf("organization")},
                         .organization_name = "acme",
                         .caller = "ci"};
  const std::shared_ptr<const Token> token_ = MakeToken();
  std::size_t running_ = 0;
  std::size_t done_ = 0;
};

void AdmitAndSettle(benchmark::State& bench, std::vector<std::string> settings) {
  const auto in_flight = static_cast<std::size_t>(bench.range(0));
  fakes::RedisServer server({.settings = std::move(settings)});
  server.Ask({"HSET", "{tokend}:epoch", "id", "first", "created", "0", "quarantine", "0"});
  fakes::TurnedLoop loop;
  RedisConnection connection(loop,
                             {.address = config::UnixAddress{server.socket()}, .reply_timeout = seconds(30)});
  RedisState state(loop, connection,
                   {{.remember = seconds(600), .max_entries = 10'000'000},
                    config::OnRedisFailure::kDeny,
                    Secret(std::string(32, 'k'))});
  loop.RunUntil([&state] { return state.health().ok(); });
  Requests requests(loop, state);
  for (auto _ : bench) {
    const std::size_t wanted = requests.done() + 1;
    while (requests.running() < in_flight) requests.Start();
    loop.RunUntil([&] { return requests.done() >= wanted; });
  }
  const std::size_t begun = requests.done() + requests.running();
  loop.RunUntil([&] { return requests.running() == 0; });
  bench.SetItemsProcessed(static_cast<std::int64_t>(begun));
}

BENCHMARK_CAPTURE(AdmitAndSettle, in_memory, std::vector<std::string>{})
    ->Arg(1)
    ->Arg(16)
    ->Arg(256)
    ->UseRealTime();
BENCHMARK_CAPTURE(AdmitAndSettle, appendfsync_always,
                  std::vector<std::string>{"--appendonly", "yes", "--appendfsync", "always"})
    ->Arg(1)
    ->Arg(16)
    ->Arg(256)
    ->UseRealTime();

}  // namespace
}  // namespace tokend::state
