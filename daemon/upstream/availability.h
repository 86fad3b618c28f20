#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/block.h"
#include "daemon/base/failure.h"
#include "daemon/base/mint_outcome.h"
#include "daemon/loop/event_loop.h"
#include "daemon/upstream/api_key.h"
#include "daemon/upstream/circuit_breaker.h"

namespace tokend::upstream {

// Whether the upstream is likely to answer a request, judged by how earlier requests ended. Loop thread only,
// except `Troubles`. For each organization:
// - A circuit breaker opens after 5 failures in a row (no connection, reset, time-out, 5xx), if they come
//   from at least three applications or if no connection could be made. Failures in a row of one application
//   open that application's circuit breaker.
// - An API key that the upstream rejects opens another, until the key changes or a probe with it succeeds.
// - A 403 opens one for that application alone.
// - A 429 pauses the organization, for Retry-After or without one for a time that doubles while 429s go on.
// A central tokend is judged as a whole, as one organization would be: an error that it answers with shows
// that it works, and its CALLER_UNKNOWN counts as a rejected key.
class Availability {
 public:
  // The central tokend of a relay.
  struct CentralTokend {
    std::string address;                                    // names it, as an organization's name does
    std::function<std::uint64_t()> credentials_generation;  // counts the changes of the relay's credentials
  };

  // Called when an organization's block begins or ends, with the cause of a circuit breaker in fixed words.
  // Also called once for each block of each new organization, with `blocked` false. Loop thread.
  using OnChange = std::function<void(const std::string& organization, Block block, bool blocked,
                                      const std::string& cause)>;

  // Who asks, and for what.
  struct Request {
    const std::string& organization;
    const std::string& application;
    const std::string& caller;
  };

  // Permission to send one request, from Enter until its result is reported. A permit that is dropped before
  // says nothing of the upstream: if its request was a probe, another request may probe.
  class Permit {
   public:
    Permit() = default;

    // Whether the request probes if the upstream works again after failures. False without a permit.
    bool is_probe() const { return from_ != nullptr && from_.get_deleter().is_probe; }

   private:
    friend class Availability;
    struct Forgetter {
      std::string organization;
      std::string application;
      CircuitBreaker::Call call;
      bool is_probe;  // of a breaker that failures open
      void operator()(Availability* from) const;
    };
    Permit(Availability& from, Forgetter forgetter) : from_(&from, std::move(forgetter)) {}
    std::unique_ptr<Availability, Forgetter> from_;
  };

  // `loop` outlives this, and this outlives every Permit.
  Availability(loop::EventLoop& loop, const KeyRing& keys, OnChange on_change);
  Availability(loop::EventLoop& loop, CentralTokend centre, OnChange on_change);

  // What a request would be refused with now: UPSTREAM_UNAVAILABLE, UPSTREAM_KEY_REJECTED,
  // UPSTREAM_FORBIDDEN or UPSTREAM_RATE_LIMITED.
  std::optional<Failure> Check(const Request& request);

  // A permit, or what the request is refused with.
  std::variant<Permit, Failure> Enter(const Request& request);

  // Reports how the request with this permit ended.
  void Report(Permit permit, const MintOutcome& outcome);

  // Uses these keys from now on. A key that has changed is no longer rejected. Changes nothing for a central
  // tokend.
  void UseKeys(const KeyRing& keys);

  // The blocks that last, for the operator: a line each, in fixed words. Any thread.
  std::vector<std::string> Troubles() const;

 private:
  // One that has failed lately.
  struct Application {
    CircuitBreaker breaker;
    CircuitBreaker forbidden;
    std::string cause = {};  // of its last failure
  };
  // The failures in a row of an organization.
  struct Row {
    std::size_t failures = 0;
    std::size_t unconnected = 0;              // the last of them, while no connection could be made
    std::set<std::string> applications = {};  // at most as many as matter

    void Add(const std::string& application, bool connected);
    bool OpensBreaker() const;
  };
  struct Organization {
    std::uint64_t key_generation = 0;
    CircuitBreaker breaker;  // opened by `row`
    CircuitBreaker key_breaker;
    Row row = {};
    std::string cause = {};  // of its last failure
    std::map<std::string, Application> applications = {};
    CircuitBreaker::TimePoint paused_until = {};
    std::chrono::milliseconds last_pause{
        0};                                // of a 429 without Retry-After; 0: another answer has come since
    std::uint64_t calls_before_pause = 0;  // permits_ when it began: such calls say nothing of its success
    std::optional<loop::TimerId> pause_ends = std::nullopt;  // while it is paused
    std::array<bool, kBlocks.size()> told = {};              // the blocks that last, as on_change knows them
  };

  void Add(const std::string& name, std::uint64_t key_generation, CircuitBreaker key_breaker);
  void UseGeneration(const std::string& name, Organization& organization, std::uint64_t key_generation);
  // Closes the breaker of rejected credentials if the relay has other ones now.
  void UpdateCredentials();
  std::optional<Failure> CheckOne(const Request& request);
  Permit EnterOne(const Request& request);
  void ReportOne(const Permit& permit, const MintOutcome& outcome);

  // The breakers that a request for these two passes.
  std::vector<CircuitBreaker*> BreakersOf(const std::string& organization, const std::string& application);
  // Null where there are too many already.
  Application* ApplicationOf(Organization& organization, const std::string& application);
  void JudgeHealth(Organization& organization, const std::string& application, CircuitBreaker::Call call,
                   const MintOutcome& outcome);
  void JudgeKey(Organization& organization, const std::string& application, CircuitBreaker::Call call,
                std::optional<Reason> refusal);
  // What an answer to this call says of the upstream's limit.
  void JudgePace(const std::string& name, Organization& organization, CircuitBreaker::Call call,
                 const Failure* refusal);
  void Pause(const std::string& name, Organization& organization, std::chrono::milliseconds time);
  // Tells of the blocks that have begun or ended since it was last called.
  void TellChanges(const std::string& name, Organization& organization);
  void Tell(const std::string& name, Organization& organization, Block block, bool blocked,
            const std::string& cause);

  loop::EventLoop& loop_;
  const std::optional<CentralTokend> centre_;
  const OnChange on_change_;
  std::map<std::string, Organization> organizations_;
  std::uint64_t permits_ = 0;  // given since the start

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, Block>, std::string> troubles_;  // the cause, by organization and block
};

}  // namespace tokend::upstream
