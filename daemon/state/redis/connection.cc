#include "daemon/state/redis/connection.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>

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
    if (connected_) {
      work_.wait(lock);
    } else if (work_.wait_until(lock, connect_at_) == std::cv_status::timeout) {
      break;
    }
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
  Result<RedisWire> wire = RedisWire::Open(options_.address, deadline);
  if (!wire.ok()) return wire.status();
  wire_ = *std::move(wire);
  if (!options_.password.empty()) {
    if (Status in = wire_->LogIn(options_.username, options_.password, deadline); !in.ok()) return in;
  }
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
  std::vector<RedisWire::Answer> answers;
  Status exchanged =
      wire_ ? Exchange(batch, answers) : absl::UnavailableError("the connection to Redis broke");
  if (!exchanged.ok()) answers.resize(batch.size(), exchanged);
  for (RedisWire::Answer& answer : answers) {
    if (answer.status().code() == absl::StatusCode::kFailedPrecondition) exchanged = answer.status();
    answer = ResultOf(std::move(answer));
  }
  if (!exchanged.ok()) Disconnect(exchanged);
  Reply(std::move(batch), std::move(answers));
}

Status RedisConnection::Exchange(const std::vector<Item>& batch, std::vector<RedisWire::Answer>& answers) {
  const SteadyTime deadline = steady_clock::now() + options_.reply_timeout;
  for (const Item& item : batch) Append(item);
  if (Status status = wire_->Exchange(batch.size(), deadline, answers); !status.ok()) return status;
  // Redis was told to forget its scripts (SCRIPT FLUSH): their text is sent again.
  std::vector<std::size_t> again;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (answers[i].status().code() != absl::StatusCode::kNotFound) continue;
    sent_.erase(batch[i].script);
    again.push_back(i);
  }
  for (const std::size_t i : again) Append(batch[i]);
  std::vector<RedisWire::Answer> late;
  Status status = wire_->Exchange(again.size(), deadline, late);
  for (std::size_t i = 0; i < again.size(); ++i) {
    answers[again[i]] = i < late.size() ? std::move(late[i]) : absl::UnknownError(status.message());
  }
  return status;
}

void RedisConnection::Append(const Item& item) {
  const bool known = !sent_.insert(item.script).second;
  const std::string keys = std::to_string(item.keys.size());
  std::vector<std::string_view> command{known ? "EVALSHA" : "EVAL",
                                        known ? item.script->digest : item.script->text, keys};
  command.insert(command.end(), item.keys.begin(), item.keys.end());
  command.insert(command.end(), item.arguments.begin(), item.arguments.end());
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
