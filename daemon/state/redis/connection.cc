#include "daemon/state/redis/connection.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string_view>
#include <utility>
#include <variant>

#include "daemon/base/key_file.h"
#include "daemon/base/thread.h"

namespace tokend::state {
namespace {

using std::chrono::steady_clock;

// Redis must not evict keys: a request_id that is evicted could get a second token.
Status JudgeMemory(const RedisReply& info) {
  const auto* text = std::get_if<std::string>(&info.value);
  constexpr std::string_view kKey = "maxmemory_policy:";
  const std::size_t at = text == nullptr ? std::string::npos : text->find(kKey);
  if (at != std::string::npos && text->compare(at + kKey.size(), 10, "noeviction") == 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("Redis may evict keys: its maxmemory-policy must be noeviction");
}

// What a script answered, if Redis says that it is the answer to the call with this nonce. An error says
// nothing of the kind.
Result<RedisReply> AnswerTo(const std::string& nonce, RedisWire::Answer answer) {
  if (!answer.ok()) return answer;
  auto* list = std::get_if<std::vector<RedisReply>>(&answer->value);
  const auto* shown =
      list == nullptr || list->empty() ? nullptr : std::get_if<std::string>(&list->front().value);
  if (shown == nullptr || *shown != nonce) return absl::DataLossError("Redis answered another call");
  return list->size() < 2 ? RedisReply() : std::move((*list)[1]);
}

std::uint64_t FirstNonce() {
  std::random_device random;
  return std::uint64_t{random()} << 32U | random();
}

// The error of Redis as a script's caller gets it.
Result<RedisReply> ResultOf(RedisWire::Answer answer) {
  if (answer.ok() || answer.status().code() == absl::StatusCode::kUnknown) return answer;
  return absl::UnavailableError(answer.status().message());
}

}  // namespace

RedisConnection::RedisConnection(loop::EventLoop& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      why_(absl::UnavailableError("there is no connection to Redis yet")),
      last_nonce_(FirstNonce()),
      thread_(StartThread("redis", [this] { Work(); })) {}

RedisConnection::~RedisConnection() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_one();
  }
  thread_.join();
}

void RedisConnection::Run(const RedisScript& script, std::vector<std::string> keys,
                          std::vector<std::string> arguments, Done done) {
  Status refusal;
  {
    const std::lock_guard lock(mutex_);
    if (!connected_) {
      refusal = why_;
    } else if (!greeted_ && script.kind != RedisScript::Kind::kGreeting) {
      refusal = absl::UnavailableError("the connection to Redis is a new one");
    } else if (inbox_.size() >= kMaxInbox) {
      refusal = absl::ResourceExhaustedError("too much waits for Redis");
    } else {
      greeted_ = true;
      inbox_.push_back({&script, std::move(keys), std::move(arguments), std::move(done)});
      if (inbox_.size() == 1) work_.notify_one();
      return;
    }
  }
  loop_.Post([done = std::move(done), refusal = std::move(refusal)]() mutable { done(std::move(refusal)); });
}

void RedisConnection::Work() {
  Connect();
  while (Wait()) {
    if (!wire_) {
      Connect();
    } else if (steady_clock::now() >= look_at_) {
      const Status kept = LookAtPolicy(steady_clock::now() + options_.reply_timeout);
      if (!kept.ok()) Disconnect(kept);
    } else {
      RunBatch(TakeBatch());
    }
  }
  // Scripts that were given shortly before the end still run, as long as there is a connection.
  const SteadyTime end = steady_clock::now() + options_.reply_timeout;
  while (wire_ && steady_clock::now() < end) {
    std::vector<Item> batch = TakeBatch();
    if (batch.empty()) break;
    RunBatch(std::move(batch));
  }
  Disconnect(absl::UnavailableError("the daemon stops"));
}

bool RedisConnection::Wait() {
  std::unique_lock lock(mutex_);
  while (!stopping_ && inbox_.empty()) {
    if (work_.wait_until(lock, connected_ ? look_at_ : connect_at_) == std::cv_status::timeout) break;
  }
  return !stopping_;
}

std::vector<RedisConnection::Item> RedisConnection::TakeBatch() {
  const std::lock_guard lock(mutex_);
  const auto end = inbox_.begin() + static_cast<std::ptrdiff_t>(std::min(inbox_.size(), kMaxBatch));
  std::vector<Item> batch(std::make_move_iterator(inbox_.begin()), std::make_move_iterator(end));
  inbox_.erase(inbox_.begin(), end);
  return batch;
}

void RedisConnection::Connect() {
  if (Status opened = OpenWire(); !opened.ok()) return Disconnect(opened);
  pause_ = kFirstPause;
  const std::lock_guard lock(mutex_);
  connected_ = true;
  greeted_ = false;
}

Status RedisConnection::OpenWire() {
  const SteadyTime deadline = steady_clock::now() + kConnectTimeout;
  sent_.clear();
  Result<RedisWire> wire = RedisWire::Open(options_.address, options_.tls, deadline);
  if (!wire.ok()) return wire.status();
  wire_ = *std::move(wire);
  if (Status in = LogIn(deadline); !in.ok()) return in;
  return LookAtPolicy(deadline);
}

Status RedisConnection::LogIn(SteadyTime deadline) {
  if (options_.password_file.empty()) return absl::OkStatus();
  const Result<Secret> password = ReadKeyFile(options_.password_file);
  if (!password.ok()) return password.status();
  return wire_->LogIn(options_.username, *password, deadline);
}

Status RedisConnection::LookAtPolicy(SteadyTime deadline) {
  look_at_ = steady_clock::now() + options_.policy_look;
  wire_->Append({"INFO", "memory"});
  std::vector<RedisWire::Answer> answers;
  if (Status read = wire_->Exchange(1, deadline, answers); !read.ok()) return read;
  if (!answers.front().ok()) return answers.front().status();
  return JudgeMemory(*answers.front());
}

void RedisConnection::Disconnect(const Status& why) {
  wire_.reset();
  connect_at_ = steady_clock::now() + pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
  std::vector<Item> unsent;
  {
    const std::lock_guard lock(mutex_);
    connected_ = false;
    why_ = absl::UnavailableError(why.message());
    unsent.assign(std::make_move_iterator(inbox_.begin()), std::make_move_iterator(inbox_.end()));
    inbox_.clear();
  }
  std::vector<RedisWire::Answer> answers(unsent.size(), absl::UnavailableError(why.message()));
  Reply(std::move(unsent), std::move(answers));
}

void RedisConnection::RunBatch(std::vector<Item> batch) {
  // A connection that was closed meanwhile gets no script: then none of these can have run.
  if (wire_->IsStale()) wire_.reset();
  Status exchanged = absl::UnavailableError("the connection to Redis broke");
  std::vector<RedisWire::Answer> answers(batch.size(), exchanged);
  if (wire_) exchanged = Exchange(batch, answers);
  for (RedisWire::Answer& answer : answers) {
    if (answer.status().code() == absl::StatusCode::kFailedPrecondition) exchanged = answer.status();
    answer = ResultOf(std::move(answer));
  }
  if (!exchanged.ok()) Disconnect(exchanged);
  Reply(std::move(batch), std::move(answers));
}

Status RedisConnection::Exchange(const std::vector<Item>& batch, std::vector<RedisWire::Answer>& answers) {
  const SteadyTime deadline = steady_clock::now() + options_.reply_timeout;
  std::vector<std::size_t> items(batch.size());
  std::iota(items.begin(), items.end(), std::size_t{0});
  if (Status status = Send(batch, items, deadline, answers); !status.ok()) return status;
  // Redis was told to forget its scripts (SCRIPT FLUSH): their text is sent again.
  std::erase_if(items,
                [&](std::size_t i) { return answers[i].status().code() != absl::StatusCode::kNotFound; });
  for (const std::size_t i : items) sent_.erase(batch[i].script);
  return Send(batch, items, deadline, answers);
}

Status RedisConnection::Send(const std::vector<Item>& batch, const std::vector<std::size_t>& items,
                             SteadyTime deadline, std::vector<RedisWire::Answer>& answers) {
  const std::uint64_t first = last_nonce_ + 1;
  for (const std::size_t i : items) Append(batch[i], std::to_string(++last_nonce_));
  std::vector<RedisWire::Answer> got;
  Status status = wire_->Exchange(items.size(), deadline, got);
  for (std::size_t i = 0; i < items.size(); ++i) {
    RedisWire::Answer& answer = answers[items[i]];
    answer =
        i < got.size() ? AnswerTo(std::to_string(first + i), std::move(got[i])) : Result<RedisReply>(status);
    if (answer.status().code() == absl::StatusCode::kDataLoss) {
      status = absl::UnknownError(answer.status().message());
    }
  }
  if (status.ok()) return status;
  // It is not known to which call an error belongs.
  for (const std::size_t i : items) {
    if (!answers[i].ok()) answers[i] = status;
  }
  return status;
}

void RedisConnection::Append(const Item& item, const std::string& nonce) {
  const bool known = !sent_.insert(item.script).second;
  const std::string keys = std::to_string(item.keys.size());
  std::vector<std::string_view> command{known ? "EVALSHA" : "EVAL",
                                        known ? item.script->digest : item.script->text, keys};
  command.insert(command.end(), item.keys.begin(), item.keys.end());
  command.insert(command.end(), item.arguments.begin(), item.arguments.end());
  command.push_back(nonce);
  wire_->Append(command);
}

void RedisConnection::Reply(std::vector<Item> items, std::vector<RedisWire::Answer> answers) {
  if (items.empty()) return;
  std::vector<Done> dones;
  dones.reserve(items.size());
  for (Item& item : items) dones.push_back(std::move(item.done));
  loop_.Post([dones = std::move(dones), answers = std::move(answers)]() mutable {
    for (std::size_t i = 0; i < dones.size(); ++i) dones[i](std::move(answers[i]));
  });
}

}  // namespace tokend::state
