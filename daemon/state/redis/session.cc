#include "daemon/state/redis/session.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "daemon/base/form.h"

namespace tokend::state {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

// Later than every time of Redis, and exact in Lua.
constexpr RedisTime kNoLimit{microseconds(std::int64_t{1} << 53U)};

// A script that Redis found too late is sent again with a later time, as Redis's clock may have been set.
constexpr int kMaxAttempts = 3;

std::string NewName() {
  std::string name = MakeUuid();
  std::erase(name, '-');
  return name;
}

}  // namespace

RedisSession::RedisSession(loop::EventLoop& loop, Redis& redis, Settings settings, Events events)
    : loop_(loop),
      redis_(redis),
      settings_(std::move(settings)),
      events_(std::move(events)),
      replica_(NewName()),
      health_(absl::UnavailableError("there is no contact with Redis yet")) {}

RedisSession::~RedisSession() {
  if (tick_) loop_.Cancel(*tick_);
}

void RedisSession::Start() {
  Hello();
  ArmTick();
}

void RedisSession::Open() {
  if (contact_ != Contact::kMade) return;  // it was lost again meanwhile
  contact_ = Contact::kOpen;
  SetHealth(absl::OkStatus());
}

Status RedisSession::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

void RedisSession::Run(const RedisScript& script, Arguments arguments, Done done) {
  Send(std::make_unique<Call>(Call{&script, std::move(arguments), std::move(done)}));
}

void RedisSession::Send(std::unique_ptr<Call> call) {
  ++call->attempts;
  call->contact = contacts_;
  call->sent_at = loop_.clock().Now();
  const RedisScript& script = *call->script;
  const bool writes = script.kind == RedisScript::Kind::kWritesLedger;
  if (clock_) latest_run_ = LatestRun();
  Arguments arguments = {epoch_, replica_, ToArgument(clock_ ? RunUntil() : kNoLimit),
                         std::to_string(known_write_), std::to_string(writes ? ++last_write_ : 0)};
  arguments.insert(arguments.end(), call->arguments.begin(), call->arguments.end());
  redis_.Run(script, {std::string(kRedisPrefix) + "epoch"}, std::move(arguments),
             [this, alive = std::weak_ptr(alive_), call = std::move(call)](Result<RedisReply> reply) mutable {
               if (!alive.expired()) OnReply(std::move(call), std::move(reply));
             });
}

void RedisSession::OnReply(std::unique_ptr<Call> call, Result<RedisReply> reply) {
  Result<RedisAnswer> answer =
      reply.ok() ? RedisAnswer::From(*std::move(reply)) : Result<RedisAnswer>(reply.status());
  if (answer.ok()) {
    const bool in_time = ReadClock(*answer, call->sent_at);
    known_write_ = std::max(known_write_, answer->wrote());
    // What Redis answers before it has heard of the jump may rest on memory that has expired.
    if (!in_time || (clock_jumped_ && call->script->kind != RedisScript::Kind::kGreeting)) {
      answer = absl::UnknownError("Redis's clock was set: what it held may have expired");
    } else if (answer->word() == "late") {
      if (call->attempts < kMaxAttempts) return Send(std::move(call));
      answer = absl::UnavailableError("Redis's clock does not keep up");
    } else if (answer->word() == "lost") {
      answer = absl::UnavailableError("Redis has lost what it held");
    }
  }
  // An error of a script that was sent over an earlier contact says nothing of the present one. Redis's clock
  // does, whichever script tells it.
  const bool is_present = call->contact == contacts_ || clock_jumped_;
  if (!answer.ok() && answer.status().code() != absl::StatusCode::kResourceExhausted && is_present &&
      has_contact()) {
    const std::weak_ptr alive(alive_);
    Lose(answer.status());
    if (alive.expired()) return;
  }
  call->done(std::move(answer));
}

bool RedisSession::ReadClock(const RedisAnswer& answer, TimePoint sent_at) {
  bool in_time = true;
  if (clock_) {
    const auto [told, told_of] = *clock_;
    const RedisTime latest = told + duration_cast<microseconds>(loop_.clock().Now() - told_of);
    in_time = answer.now() <= latest + settings_.remember && answer.now() + settings_.remember >= told;
  }
  clock_ = {answer.now(), sent_at};
  if (!in_time) {
    clock_jumped_ = true;
    latest_run_ = {};  // by the clock as it was
  }
  return in_time;
}

RedisTime RedisSession::RunUntil() const {
  assert(clock_);
  const auto [told, sent_at] = *clock_;
  return told + duration_cast<microseconds>(loop_.clock().Now() - sent_at) + kScriptLife;
}

// If a later answer has told Redis's time more exactly, a script that was sent before may run for longer than
// one that is sent now.
RedisTime RedisSession::LatestRun() const { return clock_ ? std::max(latest_run_, RunUntil()) : RedisTime(); }

void RedisSession::Lose(const Status& why) {
  assert(has_contact());
  contact_ = Contact::kNone;
  ++contacts_;
  SetHealth(absl::UnavailableError(why.message()));
  ArmTick();
  events_.on_lost();
}

void RedisSession::Distrust(const Status& why) {
  distrusts_ = true;
  if (has_contact()) Lose(why);
}

void RedisSession::ArmTick() {
  if (tick_) loop_.Cancel(*tick_);
  tick_ = loop_.After(has_contact() ? kBeat : kHello, [this] {
    ArmTick();
    if (has_contact()) {
      Beat();
    } else {
      Hello();
    }
  });
}

void RedisSession::Beat() {
  if (beat_runs_) return;
  beat_runs_ = true;
  Arguments shared;
  for (const SharedSetting& setting : settings_.shared) {
    shared.insert(shared.end(), {setting.name, setting.value});
  }
  Run(RedisScripts::Get().beat, std::move(shared), [this](const Result<RedisAnswer>& answer) {
    beat_runs_ = false;
    if (answer.ok()) OnBeat(*answer);
  });
}

void RedisSession::OnBeat(const RedisAnswer& answer) {
  std::vector<std::string> differences = answer.Texts(2);
  // What Redis says goes into the log and onto the page.
  std::erase_if(differences, [this](const std::string& name) {
    return std::none_of(settings_.shared.begin(), settings_.shared.end(),
                        [&name](const SharedSetting& setting) { return setting.name == name; });
  });
  if (differences != differences_) {
    differences_ = std::move(differences);
    if (events_.on_differences) events_.on_differences(differences_);
  }
  TellQuarantine(answer);
  events_.on_beat(static_cast<std::size_t>(answer.Number(0)));
}

void RedisSession::Hello() {
  if (hello_runs_) return;
  hello_runs_ = true;
  const bool knows = has_earlier_requests_ || !epoch_.empty();
  const bool may_begin = knows || (no_epoch_since_ && loop_.clock().Now() - *no_epoch_since_ >= kOthersFirst);
  Run(RedisScripts::Get().hello,
      {NewName(), may_begin ? "1" : "0", knows ? "1" : "0", ToArgument(settings_.remember),
       clock_jumped_ ? "1" : "0"},
      [this, told = clock_jumped_](const Result<RedisAnswer>& answer) {
        hello_runs_ = false;
        if (clock_jumped_ && !told) return;  // Redis has yet to hear of it
        OnHello(answer);
      });
}

void RedisSession::OnHello(const Result<RedisAnswer>& answer) {
  if (!answer.ok()) {
    // Another Redis may come back, and other replicas must hear of it first.
    no_epoch_since_.reset();
    return SetHealth(absl::UnavailableError(answer.status().message()));
  }
  if (answer->word() != "epoch") {
    if (!no_epoch_since_) no_epoch_since_ = loop_.clock().Now();
    return SetHealth(absl::UnavailableError("Redis is empty; another replica may know why"));
  }
  no_epoch_since_.reset();
  assert(!has_contact());
  const std::string epoch = answer->Text(0);
  const bool lost =
      (!epoch_.empty() && epoch_ != epoch) || answer->Number(2) != 0 || distrusts_ || clock_jumped_;
  epoch_ = epoch;
  distrusts_ = false;
  clock_jumped_ = false;
  latest_run_ = {};  // Redis's clock may have been set back
  contact_ = Contact::kMade;
  ++contacts_;
  SetHealth(absl::UnavailableError("what this replica knows is being written to Redis"));
  ArmTick();
  TellQuarantine(*answer);
  events_.on_made(lost ? Memory::kLost : Memory::kKept);
}

// The scripts hello and beat answer with the quarantine's end.
void RedisSession::TellQuarantine(const RedisAnswer& answer) {
  if (events_.on_quarantine) events_.on_quarantine(answer.Time(1) - answer.now());
}

void RedisSession::SetHealth(const Status& health) {
  {
    const std::lock_guard lock(mutex_);
    if (health_ == health) return;
    health_ = health;
  }
  if (events_.on_health) events_.on_health(health);
}

}  // namespace tokend::state
