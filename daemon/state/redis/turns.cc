#include "daemon/state/redis/turns.h"

#include <cassert>
#include <sstream>
#include <utility>

namespace tokend::state {

RedisTurns::RedisTurns(loop::EventLoop& loop, RedisSession& session, const Observer& observer)
    : loop_(loop), session_(session), observer_(observer) {}

RedisTurns::~RedisTurns() {
  if (ask_) loop_.Cancel(*ask_);
}

void RedisTurns::Add(std::uint64_t number, Charges charges, TimePoint latest, const RedisAnswer& answer,
                     Done done) {
  Organization& organization = organizations_[charges.organization_name];
  ++organization.waiting;
  organization.next = Here(answer.Time(0), answer.now());
  organization.in_queue = static_cast<std::size_t>(answer.Number(1));
  if (observer_.on_queue) observer_.on_queue(charges.organization_name, organization.in_queue);
  [[maybe_unused]] const auto [at, added] =
      waiting_.emplace(number, Waiting{std::move(charges), loop_.clock().Now(), latest, std::move(done)});
  assert(added);
  ArmAsk();
}

std::optional<RedisTurns::Waiting> RedisTurns::Take(std::uint64_t number) {
  auto taken = waiting_.extract(number);
  if (taken.empty()) return std::nullopt;
  const std::string& name = taken.mapped().charges.organization_name;
  const auto organization = organizations_.find(name);
  assert(organization != organizations_.end() && organization->second.waiting > 0);
  if (--organization->second.waiting == 0) {
    organizations_.erase(organization);
    // Without a call that waits, this replica hears of the queue no more.
    if (observer_.on_queue) observer_.on_queue(name, 0);
  }
  return std::move(taken.mapped());
}

TimePoint RedisTurns::Here(RedisTime time, RedisTime now) const { return loop_.clock().Now() + (time - now); }

Failure RedisTurns::Limited(const Charges& charges, const RedisAnswer& answer) const {
  std::vector<SpentCharge> spent;
  for (std::size_t i = 0; i + 1 < answer.size(); i += 2) {
    spent.push_back({static_cast<std::size_t>(answer.Number(i)), answer.Time(i + 1)});
  }
  return LimitedBy(charges, spent, answer.now());
}

Failure RedisTurns::LimitedBy(const Charges& charges, const std::vector<SpentCharge>& spent,
                              RedisTime now) const {
  std::vector<SpentLimit> limits;
  for (const SpentCharge& charge : spent) {
    const bool is_own = charge.index < charges.own.size();
    const std::vector<Charge>& list = is_own ? charges.own : charges.organization;
    const std::size_t index = is_own ? charge.index : charge.index - charges.own.size();
    if (index < list.size()) limits.push_back({list[index].subject, Here(charge.until, now)});
  }
  return RateLimited(charges, std::move(limits), loop_.clock().Now());
}

void RedisTurns::ArmAsk() {
  if (asking_ || waiting_.empty()) return;
  const TimePoint now = loop_.clock().Now();
  TimePoint next = now + kLongestPause;
  for (const auto& [name, organization] : organizations_) {
    next = std::min(next, std::max(organization.next, now + organization.Pause()));
  }
  for (const auto& [number, waiting] : waiting_) {
    next = std::min(next, std::max(waiting.latest, now + kShortestPause));
  }
  // A call that is added does not put off a question that comes earlier.
  if (ask_ && ask_at_ <= next) return;
  if (ask_) loop_.Cancel(*ask_);
  ask_at_ = next;
  ask_ = loop_.After(next - now, [this] {
    ask_.reset();
    Ask();
  });
}

void RedisTurns::Ask() {
  if (waiting_.empty() || !session_.has_contact()) return;
  asking_ = true;
  Question question{.read = read_.size(), .overdue = {}, .organizations = {}};
  Arguments arguments = {std::to_string(read_.size())};
  for (const std::uint64_t number : read_) arguments.push_back(std::to_string(number));
  Arguments overdue;
  for (const auto& [number, waiting] : waiting_) {
    if (waiting.latest > loop_.clock().Now()) continue;
    question.overdue.push_back(number);
    overdue.insert(overdue.end(), {waiting.charges.organization_name, std::to_string(number)});
  }
  arguments.push_back(std::to_string(question.overdue.size()));
  arguments.insert(arguments.end(), overdue.begin(), overdue.end());
  for (const auto& [name, organization] : organizations_) question.organizations.push_back(name);
  arguments.insert(arguments.end(), question.organizations.begin(), question.organizations.end());
  session_.Run(RedisScripts::Get().turns, std::move(arguments),
               [this, question = std::move(question)](const Result<RedisAnswer>& answer) {
                 asking_ = false;
                 if (answer.ok()) return OnAnswer(question, *answer);
                 // Either there was no room for the question, and the calls still wait; or contact is lost.
                 ArmAsk();
               });
}

void RedisTurns::OnAnswer(const Question& question, const RedisAnswer& answer) {
  read_.erase(read_.begin(), read_.begin() + static_cast<std::ptrdiff_t>(question.read));
  for (std::size_t i = 0; i < question.organizations.size(); ++i) {
    const std::string& name = question.organizations[i];
    const RedisTime next = answer.Time(1 + 2 * i);
    const auto in_queue = static_cast<std::size_t>(answer.Number(2 + 2 * i));
    const auto organization = organizations_.find(name);
    if (organization == organizations_.end()) continue;
    if (observer_.on_queue) observer_.on_queue(name, in_queue);
    organization->second.in_queue = in_queue;
    organization->second.next = next == RedisTime() ? TimePoint::max() : Here(next, answer.now());
  }
  const std::weak_ptr alive(alive_);
  for (const std::string& news : answer.Texts(0)) {
    OnNews(news, answer.now());
    if (alive.expired()) return;
  }
  for (const std::uint64_t number : question.overdue) {
    // It had no news: Redis does not know it.
    Refuse(number, {}, answer.now());
    if (alive.expired()) return;
  }
  ArmAsk();
}

void RedisTurns::OnNews(const std::string& news, RedisTime now) {
  const auto time = [](std::int64_t count) { return RedisTime(std::chrono::microseconds(count)); };
  std::istringstream words(news);
  std::uint64_t number = 0;
  std::string word;
  words >> number >> word;
  read_.push_back(number);
  std::int64_t own = 0;
  std::int64_t organization = 0;
  if (word == "granted" && words >> own >> organization) {
    if (std::optional<Waiting> call = Take(number)) {
      if (observer_.on_turn) observer_.on_turn(loop_.clock().Now() - call->since);
      call->done(Spent(SpentInRedis{.own = time(own), .organization = time(organization)}));
    }
    return;
  }
  std::vector<SpentCharge> spent;
  std::size_t index = 0;
  for (std::int64_t until = 0; words >> index >> until;) spent.push_back({index, time(until)});
  Refuse(number, spent, now);
}

void RedisTurns::Refuse(std::uint64_t number, const std::vector<SpentCharge>& spent, RedisTime now) {
  if (std::optional<Waiting> call = Take(number)) call->done(LimitedBy(call->charges, spent, now));
}

}  // namespace tokend::state
