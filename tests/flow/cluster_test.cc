#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/state/redis/redis_state.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/simulated_redis.h"

// Many replicas that share one simulated Redis, in one process and on a simulated clock. Each replica has the
// daemon's own RedisState, and Redis runs the daemon's own scripts.
namespace tokend::flow {
namespace {

using state::AdmitResult;
using state::RedisState;
using state::TimePoint;
using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kCallers = 100'000;
constexpr double kSkew = 1.3;              // of Zipf's law
constexpr double kAsked = 1500;            // calls a second, of all callers
constexpr std::uint64_t kPerSecond = 500;  // the organization's limit
constexpr std::uint64_t kBurst = 50;
constexpr seconds kPatience{2};
constexpr milliseconds kMinting{20};
// The longest time from a turn in Redis to its POST: a poll interval and a round trip.
constexpr milliseconds kTurnToPost{55};

#if defined(__SANITIZE_ADDRESS__)
constexpr seconds kShort{3};
#else
constexpr seconds kShort{12};
#endif

// A request, until its deadline or until its caller has a token.
struct Wish {
  std::uint64_t number;
  std::size_t caller;
  std::string request_id;
  TimePoint deadline;
  std::size_t replica = 0;  // the last one that it was sent to
};

class Cluster {
 public:
  Cluster(std::size_t replicas, seconds length, unsigned seed)
      : length_(length), random_(seed), redis_(loop_.clock()), replicas_(replicas) {
    redis_.SetHash("{tokend}:epoch", {{"id", "first"}, {"quarantine", "0"}, {"created", "0"}});
    double sum = 0;
    for (std::size_t i = 0; i < kCallers; ++i) {
      sum += std::pow(static_cast<double>(i + 1), -kSkew);
      cumulated_.push_back(sum);
    }
    for (std::size_t i = 0; i < replicas; ++i) StartReplica(i);
    loop_.Advance(seconds(1));
  }
  ~Cluster() {
    for (Replica& replica : replicas_) StopReplica(replica);
    loop_.Discard();
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  void Run() {
    started_ = loop_.clock().Now();
    end_ = started_ + length_;
    Arrive();
    Disturb();
    loop_.Advance(length_ + kPatience + seconds(1));
  }

  struct Result {
    std::size_t asked = 0, served = 0, over_limit = 0, minted_twice = 0, other_bearers = 0, contenders = 0,
                crashes = 0;
    milliseconds longest_to_post{0};
    double share = 0, jain = 0;
  };
  Result Judge() const {
    Result result;
    for (const auto& [caller, count] : asked_) result.asked += count;
    for (const auto& [caller, count] : served_) result.served += count;
    for (const auto& [request_id, count] : mints_) result.minted_twice += count > 1 ? 1 : 0;
    result.over_limit = OverLimit();
    result.other_bearers = other_bearers_;
    result.crashes = crashes_;
    result.longest_to_post = longest_to_post_;
    JudgeFairness(result);
    return result;
  }

 private:
  struct Replica {
    std::unique_ptr<fakes::SimulatedConnection> connection;
    std::unique_ptr<RedisState> state;
    std::uint64_t life = 0;
    // What its audit log would hold: the intents before and after its last start.
    struct Intent {
      state::RequestDigest digest;
      TimePoint at;
    };
    std::map<std::string, Intent> intents;
  };

  static state::RequestDigest DigestFor(const std::string& caller) {
    return state::DigestOf(caller, "acme", "ios-app", {"sdk"}, "");
  }
  static std::string NameOf(std::size_t caller) { return "caller-" + std::to_string(caller); }

  void StartReplica(std::size_t index) {
    Replica& replica = replicas_[index];
    replica.connection = std::make_unique<fakes::SimulatedConnection>(loop_, redis_);
    replica.state = std::make_unique<RedisState>(
        loop_, *replica.connection,
        RedisState::Options{requests_, config::OnRedisFailure::kDeny, Secret(std::string(32, 'k'))});
    ++replica.life;
    for (const auto& [request_id, intent] : replica.intents) {
      if (loop_.clock().Now() - intent.at >= requests_.remember) continue;
      replica.state->Restore(request_id, intent.digest, {}, 1, intent.at);
    }
  }
  static void StopReplica(Replica& replica) {
    replica.state.reset();
    replica.connection.reset();
    ++replica.life;
  }

  // Requests arrive at random, from random callers.
  void Arrive() {
    if (loop_.clock().Now() >= end_) return;
    const double at = std::uniform_real_distribution<double>(0, cumulated_.back())(random_);
    const auto caller = static_cast<std::size_t>(std::lower_bound(cumulated_.begin(), cumulated_.end(), at) -
                                                 cumulated_.begin());
    ++asked_[caller];
    auto wish = std::make_shared<Wish>();
    wish->number = ++last_request_;
    wish->caller = caller;
    wish->request_id = "request-" + std::to_string(wish->number);
    wish->deadline = loop_.clock().Now() + kPatience;
    Try(wish);
    const duration<double> next(std::exponential_distribution<double>(kAsked)(random_));
    loop_.After(std::chrono::duration_cast<std::chrono::nanoseconds>(next), [this] { Arrive(); });
  }

  void Try(const std::shared_ptr<Wish>& wish) {
    if (loop_.clock().Now() >= wish->deadline) return;
    wish->replica = std::uniform_int_distribution<std::size_t>(0, replicas_.size() - 1)(random_);
    Replica& replica = replicas_[wish->replica];
    if (!replica.state) return TryLater(wish, milliseconds(50));
    running_.insert(wish);
    const std::string caller = NameOf(wish->caller);
    state::Charges charges{{}, {organization_}, "acme", caller};
    charges.own.push_back({state::KeyOf({"caller", caller}), own_.rate, own_.subject});
    replica.state->Admit({.request_id = wish->request_id,
                          .digest = DigestFor(caller),
                          .caller = caller,
                          .charges = std::move(charges),
                          .latest = wish->deadline - kMinting},
                         wish.get(), [this, wish, life = replica.life](const AdmitResult& result) {
                           if (replicas_[wish->replica].life == life) OnClaimed(wish, result);
                         });
  }
  void TryLater(const std::shared_ptr<Wish>& wish, std::chrono::nanoseconds pause) {
    running_.erase(wish);
    if (loop_.clock().Now() + pause >= wish->deadline) return;
    loop_.After(pause, [this, wish] { Try(wish); });
  }

  void OnClaimed(const std::shared_ptr<Wish>& wish, const AdmitResult& result) {
    if (const auto* known = std::get_if<state::Known>(&result)) {
      running_.erase(wish);
      const auto* answered = std::get_if<state::Answered>(&known->outcome);
      if (answered != nullptr && answered->token->bearer.Expose() != "bearer of " + wish->request_id)
        ++other_bearers_;
    } else if (const auto* failure = std::get_if<Failure>(&result)) {
      const bool again =
          failure->reason == Reason::kRateLimited || failure->reason == Reason::kLimitsUnavailable;
      if (again) return TryLater(wish, failure->retry_after.value_or(milliseconds(0)));
      running_.erase(wish);
    } else {
      NoteTurn(std::get<state::SpentInRedis>(std::get<state::Fresh>(result).spent).organization);
      Mint(wish);
    }
  }

  void NoteTurn(state::RedisTime turn) {
    const auto passed = loop_.clock().WallNow().time_since_epoch() - turn.time_since_epoch();
    longest_to_post_ = std::max(longest_to_post_, std::chrono::ceil<milliseconds>(passed));
  }

  void Mint(const std::shared_ptr<Wish>& wish) {
    Replica& replica = replicas_[wish->replica];
    const TimePoint now = loop_.clock().Now();
    replica.intents[wish->request_id] = {DigestFor(NameOf(wish->caller)), now};
    ++mints_[wish->request_id];
    // After the last arrival only few requests compete, so these do not count.
    if (now < end_) ++served_[wish->caller];
    minted_at_.push_back(now);
    loop_.After(kMinting, [this, wish, now, life = replica.life] {
      Replica& by = replicas_[wish->replica];
      if (by.life != life) return;  // it has crashed
      auto token = std::make_shared<Token>();
      token->bearer = Bearer("bearer of " + wish->request_id);
      by.state->Settle(wish->request_id, state::Answered{std::move(token), 1}, now);
      running_.erase(wish);
      // Some callers ask again, as if the answer had been lost.
      if (wish->caller % 8 == 0) loop_.After(milliseconds(30), [this, wish] { Try(wish); });
    });
  }

  // Replicas die and come back, and connections break.
  void Disturb() {
    if (loop_.clock().Now() >= end_) return;
    const auto pick = [this] {
      return std::uniform_int_distribution<std::size_t>(0, replicas_.size() - 1)(random_);
    };
    const std::size_t broken = pick();
    if (replicas_[broken].connection) replicas_[broken].connection->Break();
    const std::size_t dies = pick();
    if (replicas_[dies].state) {
      ++crashes_;
      StopReplica(replicas_[dies]);
      const auto running = running_;
      for (const std::shared_ptr<Wish>& wish : running) {
        if (wish->replica == dies) TryLater(wish, milliseconds(20));
      }
      loop_.After(milliseconds(700), [this, dies] { StartReplica(dies); });
    }
    loop_.After(seconds(2), [this] { Disturb(); });
  }

  // How many tokens were minted earlier than the organization's limit allows.
  std::size_t OverLimit() const {
    const double burst =
        static_cast<double>(kBurst) + duration<double>(kTurnToPost).count() * static_cast<double>(kPerSecond);
    double tokens = burst;
    std::size_t over = 0;
    TimePoint last = started_;
    for (const TimePoint at : minted_at_) {
      tokens =
          std::min(burst, tokens + duration<double>(at - last).count() * static_cast<double>(kPerSecond));
      last = at;
      if (tokens < 1) ++over;
      tokens -= 1;
    }
    return over;
  }

  // A caller's share is what max-min fairness would give it of all requests that were served: what it asked
  // for, or the same number as every caller that asked for more. Jain's index is over the callers that asked
  // for more than their share.
  void JudgeFairness(Result& result) const {
    std::vector<std::size_t> asked;
    for (const auto& [caller, count] : asked_) asked.push_back(count);
    std::sort(asked.begin(), asked.end());
    double left = 0;
    for (const auto& [caller, count] : served_) left += static_cast<double>(count);
    for (std::size_t i = 0; i < asked.size(); ++i) {
      result.share = left / static_cast<double>(asked.size() - i);
      if (static_cast<double>(asked[i]) >= result.share) break;
      left -= static_cast<double>(asked[i]);
    }
    double sum = 0;
    double squares = 0;
    for (const auto& [caller, count] : asked_) {
      if (static_cast<double>(count) <= result.share) continue;
      ++result.contenders;
      const auto served = served_.find(caller);
      const double had = served == served_.end() ? 0 : static_cast<double>(served->second);
      sum += had;
      squares += had * had;
    }
    result.jain = sum * sum / (static_cast<double>(result.contenders) * squares);
  }

  const seconds length_;
  std::mt19937 random_;
  fakes::HandCrankedLoop loop_;
  fakes::SimulatedRedis redis_;
  const config::Requests requests_{.remember = std::chrono::minutes(10), .max_entries = 1'000'000};
  const state::Charge organization_{
      state::KeyOf({"organization"}),
      state::Rate({.name = "upstream", .tokens = kPerSecond, .per = seconds(1), .burst = kBurst}),
      "acme/upstream"};
  const state::Charge own_{
      {}, state::Rate({.name = "own", .tokens = 1000, .per = seconds(1), .burst = 1000}), "grant/own"};
  std::vector<double> cumulated_;
  std::vector<Replica> replicas_;

  TimePoint started_;
  TimePoint end_;
  std::uint64_t last_request_ = 0;
  struct Earlier {
    bool operator()(const std::shared_ptr<Wish>& a, const std::shared_ptr<Wish>& b) const {
      return a->number < b->number;
    }
  };
  std::set<std::shared_ptr<Wish>, Earlier> running_;
  std::map<std::size_t, std::size_t> asked_;   // by caller
  std::map<std::size_t, std::size_t> served_;  // by caller
  std::map<std::string, int> mints_;           // by request_id
  std::vector<TimePoint> minted_at_;
  std::size_t other_bearers_ = 0;
  std::size_t crashes_ = 0;
  milliseconds longest_to_post_{0};
};

TEST(SimulatedCluster, SpendsWithinTheLimitMintsOnceAndServesFairShares) {
  const bool full = std::getenv("TOKEND_LONG_TESTS") != nullptr;
  const char* chosen = std::getenv("TOKEND_SEED");
  // Shares are less even in a short run, so a short run always has the same seed.
  const unsigned by_default = full ? std::random_device()() : 1;
  const unsigned seed = chosen != nullptr ? static_cast<unsigned>(std::atoi(chosen)) : by_default;
  std::cout
      << "TOKEND_SEED=" << seed << ", " << kCallers << " callers\n"
      << "replicas  crashes   asked  served  over limit  minted twice  turn to POST  contenders   share    "
         "Jain\n";
  for (const std::size_t replicas : {3U, 30U, 300U}) {
    const seconds length = full ? seconds(120) : kShort;
    Cluster cluster(replicas, length, seed);
    cluster.Run();
    const Cluster::Result result = cluster.Judge();
    std::cout << std::setw(8) << replicas << std::setw(9) << result.crashes << std::setw(8) << result.asked
              << std::setw(8) << result.served << std::setw(12) << result.over_limit << std::setw(14)
              << result.minted_twice << std::setw(11) << result.longest_to_post.count() << " ms"
              << std::setw(12) << result.contenders << std::fixed << std::setprecision(1) << std::setw(8)
              << result.share << std::setprecision(3) << std::setw(8) << result.jain << std::endl;
    EXPECT_EQ(result.over_limit, 0U);
    EXPECT_EQ(result.minted_twice, 0U);
    EXPECT_LE(result.longest_to_post, kTurnToPost);
    EXPECT_EQ(result.other_bearers, 0U);
    // In less time each caller is served too seldom to measure its share.
    if (length >= seconds(12)) {
      EXPECT_GE(result.jain, 0.95);
    }
    EXPECT_GE(result.contenders, 10U);
    // Crashes and broken connections cost little.
    EXPECT_GE(static_cast<double>(result.served),
              0.9 * static_cast<double>(kPerSecond) * duration<double>(length).count());
  }
}

}  // namespace
}  // namespace tokend::flow
