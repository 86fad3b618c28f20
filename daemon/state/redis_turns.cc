#include "daemon/state/redis_turns.h"

#include <absl/strings/numbers.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "daemon/state/redis_scripts.h"

namespace tokend::state {
namespace {

using std::chrono::microseconds;

}  // namespace

RedisTurns::RedisTurns(loop::EventLoop& loop, RedisSession& session, const Observer& observer)
    : loop_(loop), session_(session), observer_(observer) {}

RedisTurns::~RedisTurns() {
  if (ask_) loop_.Cancel(*ask_);
  const auto waiting = std::exchange(waiting_, {});
}

void RedisTurns::Add(std::uint64_t number, Charges charges, TimePoint latest, const RedisAnswer& answer,
                     Done done) {
  Organization& organization = organizations_[charges.organization_name];
  ++organization.waiting;
  organization.next = Here(answer.Number(0), answer);
  organization.in_queue = static_cast<std::size_t>(answer.Number(1));
  if (observer_.on_queue) observer_.on_queue(charges.organization_name, organization.in_queue);
  waiting_.emplace(number, Waiting{std::move(charges), loop_.clock().Now(), latest, std::move(done)});
  ArmAsk();
}

Charges RedisTurns::Remove(std::uint64_t number) {
  auto removed = waiting_.extract(number);
  if (removed.empty()) return {};
  Charges charges = std::move(removed.mapped().charges);
  const auto organization = organizations_.find(charges.organization_name);
  if (--organization->second.waiting == 0) {
    organizations_.erase(organization);
    // Nobody here will hear of the queue again.
    if (observer_.on_queue) observer_.on_queue(charges.organization_name, 0);
  }
  return charges;
}

TimePoint RedisTurns::Here(std::int64_t time, const RedisAnswer& answer) const {
  return loop_.clock().Now() + microseconds(time - answer.now());
}

Failure RedisTurns::Limited(const Charges& charges, const RedisAnswer& answer, std::size_t first) const {
  std::vector<std::int64_t> spent;
  for (std::size_t i = first; i < answer.size(); ++i) spent.push_back(answer.Number(i));
  return LimitedBy(charges, spent, answer.now());
}

Failure RedisTurns::LimitedBy(const Charges& charges, const std::vector<std::int64_t>& spent,
                              std::int64_t now) const {
  const TimePoint here = loop_.clock().Now();
  std::vector<SpentLimit> limits;
  for (std::size_t i = 0; i + 1 < spent.size(); i += 2) {
    auto index = static_cast<std::size_t>(spent[i]);
    const std::vector<Charge>* list = &charges.own;
    if (index >= list->size()) {
      index -= list->size();
      list = &charges.organization;
    }
    if (index < list->size())
      limits.push_back({(*list)[index].subject, here + microseconds(spent[i + 1] - now)});
  }
  if (limits.empty()) limits.push_back({charges.organization.front().subject, here});
  return RateLimited(limits, here);
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
  // Those who come to wait do not put it off.
  if (ask_ && ask_at_ <= next) return;
  if (ask_) loop_.Cancel(*ask_);
  ask_at_ = next;
  ask_ = loop_.After(next - now, [this] {
    ask_.reset();
    Ask();
  });
}

void RedisTurns::Ask() {
  if (waiting_.empty() || session_.contact() == RedisSession::Contact::kNone) return;
  asking_ = true;
  Question question{.read = read_, .overdue = {}, .organizations = {}};
  std::vector<std::string> arguments = {std::to_string(read_.size())};
  for (const std::uint64_t number : read_) arguments.push_back(std::to_string(number));
  std::vector<std::string> overdue;
  for (const auto& [number, waiting] : waiting_) {
    if (waiting.latest > loop_.clock().Now()) continue;
    question.overdue.push_back(number);
    overdue.insert(overdue.end(), {waiting.charges.organization_name, std::to_string(number)});
  }
  arguments.push_back(std::to_string(question.overdue.size()));
  arguments.insert(arguments.end(), overdue.begin(), overdue.end());
  for (const auto& [name, organization] : organizations_) question.organizations.push_back(name);
  arguments.insert(arguments.end(), question.organizations.begin(), question.organizations.end());
  session_.Run(RedisScripts::Get().turns, RedisSession::Writes::kNothing, std::move(arguments),
               [this, question = std::move(question)](const Result<RedisAnswer>& answer) {
                 asking_ = false;
                 if (answer.ok()) return OnAnswer(question, *answer);
                 // There was no room for the question: those who wait still do.
                 ArmAsk();
               });
}

void RedisTurns::OnAnswer(const Question& question, const RedisAnswer& answer) {
  std::erase_if(read_, [&question](std::uint64_t number) {
    return std::find(question.read.begin(), question.read.end(), number) != question.read.end();
  });
  OnQueues(question, answer);
  const std::weak_ptr alive(alive_);
  for (const std::string& news : answer.Texts(0)) {
    OnNews(news, answer);
    if (alive.expired()) return;
  }
  for (const std::uint64_t number : question.overdue) {
    // Redis knows nothing of it.
    Tell(number, false, {}, answer);
    if (alive.expired()) return;
  }
  ArmAsk();
}

void RedisTurns::OnQueues(const Question& question, const RedisAnswer& answer) {
  for (std::size_t i = 0; i < question.organizations.size(); ++i) {
    const std::string& name = question.organizations[i];
    const std::int64_t next = answer.Number(1 + 2 * i);
    const auto in_queue = static_cast<std::size_t>(answer.Number(2 + 2 * i));
    const auto organization = organizations_.find(name);
    if (organization == organizations_.end()) continue;
    if (observer_.on_queue) observer_.on_queue(name, in_queue);
    organization->second.in_queue = in_queue;
    organization->second.next = next == 0 ? TimePoint::max() : Here(next, answer);
  }
}

void RedisTurns::OnNews(const std::string& news, const RedisAnswer& answer) {
  std::istringstream words(news);
  std::uint64_t number = 0;
  std::string what;
  words >> number >> what;
  std::vector<std::int64_t> times;
  for (std::int64_t time = 0; words >> time;) times.push_back(time);
  read_.push_back(number);
  Tell(number, what == "granted" && times.size() == 2, times, answer);
}

void RedisTurns::Tell(std::uint64_t number, bool granted, const std::vector<std::int64_t>& times,
                      const RedisAnswer& answer) {
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return;  // it has left
  const TimePoint since = found->second.since;
  Done done = std::move(found->second.done);
  const Charges charges = Remove(number);
  if (!granted) return done(LimitedBy(charges, times, answer.now()));
  if (observer_.on_turn) observer_.on_turn(loop_.clock().Now() - since);
  done(Spent{.own = TimePoint(microseconds(times[0])), .organization = TimePoint(microseconds(times[1]))});
}

}  // namespace tokend::state
