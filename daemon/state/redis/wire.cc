#include "daemon/state/redis/wire.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <hiredis/sds.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace tokend::state {
namespace {

using std::chrono::steady_clock;

// How large the answers to one pipeline may be together.
constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 20U;

// The errors of Redis, by how they begin. Redis's own words may quote an argument, so these replace them.
struct Refusal {
  std::string_view begin;
  absl::StatusCode kind;
  std::string_view words;
};
constexpr std::string_view kNotPermitted = "Redis does not permit its user a command that it needs";
constexpr std::array kRefusals{
    Refusal{"NOSCRIPT", absl::StatusCode::kNotFound, "Redis does not know the script"},
    Refusal{"OOM", absl::StatusCode::kUnavailable, "Redis is out of memory (maxmemory)"},
    Refusal{"LOADING", absl::StatusCode::kUnavailable, "Redis is loading its data"},
    Refusal{"MISCONF", absl::StatusCode::kUnavailable, "Redis cannot save its data (MISCONF)"},
    Refusal{"NOREPLICAS", absl::StatusCode::kUnavailable, "Redis has too few replicas to be written to"},
    Refusal{"BUSY", absl::StatusCode::kUnavailable, "Redis is busy with a script"},
    Refusal{"TRYAGAIN", absl::StatusCode::kUnavailable, "this node of the cluster hands over the keys"},
    Refusal{"CLUSTERDOWN", absl::StatusCode::kUnavailable, "the cluster of Redis is down"},
    Refusal{"READONLY", absl::StatusCode::kFailedPrecondition, "this Redis is a replica, only to be read"},
    Refusal{"MASTERDOWN", absl::StatusCode::kFailedPrecondition, "this Redis has lost its master"},
    Refusal{"MOVED", absl::StatusCode::kFailedPrecondition, "this node of the cluster has not the keys"},
    Refusal{"ASK", absl::StatusCode::kFailedPrecondition, "this node of the cluster hands over the keys"},
    Refusal{"NOAUTH", absl::StatusCode::kFailedPrecondition, "Redis asks for a password"},
    Refusal{"WRONGPASS", absl::StatusCode::kFailedPrecondition, "Redis refuses the user or the password"},
    Refusal{"NOPERM", absl::StatusCode::kUnknown, kNotPermitted},
    Refusal{"ERR ACL failure", absl::StatusCode::kUnknown, kNotPermitted},
    Refusal{"ERR The user executing the script can't", absl::StatusCode::kUnknown, kNotPermitted},
};

Status NoConnection() { return absl::UnavailableError("there is no connection to Redis"); }
Status NotInTime() { return absl::UnavailableError("Redis does not answer in time"); }
Status Broken() { return absl::UnavailableError("the connection to Redis broke"); }

Status ErrorOf(std::string_view error) {
  const auto found = std::find_if(kRefusals.begin(), kRefusals.end(), [error](const Refusal& refusal) {
    return error.starts_with(refusal.begin);
  });
  if (found == kRefusals.end()) return absl::UnknownError("Redis reports an error in a script");
  return {found->kind, {found->words.data(), found->words.size()}};
}

RedisReply ReplyOf(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      return {static_cast<std::int64_t>(reply.integer)};
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      return {std::string(reply.str, reply.len)};
    case REDIS_REPLY_ARRAY: {
      std::vector<RedisReply> elements;
      elements.reserve(reply.elements);
      for (std::size_t i = 0; i < reply.elements; ++i) elements.push_back(ReplyOf(*reply.element[i]));
      return {std::move(elements)};
    }
    default:
      return {};
  }
}

RedisWire::Answer AnswerOf(const redisReply& reply) {
  if (reply.type == REDIS_REPLY_ERROR) return ErrorOf({reply.str, reply.len});
  return ReplyOf(reply);
}

void AppendBulk(std::string_view bytes, Secret& command) {
  command.Append("$" + std::to_string(bytes.size()) + "\r\n");
  command.Append(bytes);
  command.Append("\r\n");
}

}  // namespace

RedisWire::RedisWire(redisContext* context) : context_(context, &redisFree) {}

Result<RedisWire> RedisWire::Open(const config::Address& address, SteadyTime deadline) {
  redisContext* context = nullptr;
  if (const auto* unix_address = std::get_if<config::UnixAddress>(&address)) {
    context = redisConnectUnixNonBlock(unix_address->path.c_str());
  } else {
    const auto& tcp = std::get<config::TcpAddress>(address);
    context = redisConnectNonBlock(tcp.host.c_str(), tcp.port);
  }
  RedisWire wire(context);
  if (context == nullptr || context->err != 0) return NoConnection();
  fcntl(context->fd, F_SETFD, FD_CLOEXEC);
  if (!wire.Await(POLLOUT, deadline).ok()) return NoConnection();
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(context->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return NoConnection();
  const int no_delay = 1;
  // Fails on a unix socket, which does not need it.
  setsockopt(context->fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof(no_delay));
  return wire;
}

Status RedisWire::LogIn(std::string_view username, const Secret& password, SteadyTime deadline) {
  // Not by hiredis, which would leave a copy of the password in its buffer.
  Secret command;
  command.Reserve(username.size() + password.size() + 64);
  command.Append(username.empty() ? "*2\r\n" : "*3\r\n");
  AppendBulk("AUTH", command);
  if (!username.empty()) AppendBulk(username, command);
  AppendBulk(password.Expose(), command);
  if (Status sent = Send(command, deadline); !sent.ok()) return sent;

  std::vector<Answer> answers;
  if (Status read = Exchange(1, deadline, answers); !read.ok()) return read;
  // This includes "ERR", the answer of a Redis that has no password, or not this user.
  if (!answers.front().ok()) return absl::UnavailableError("Redis refuses the user or the password");
  return absl::OkStatus();
}

void RedisWire::Append(const std::vector<std::string_view>& command) {
  std::vector<const char*> words;
  std::vector<std::size_t> lengths;
  for (const std::string_view word : command) {
    words.push_back(word.data());
    lengths.push_back(word.size());
  }
  redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(), lengths.data());
}

Status RedisWire::Exchange(std::size_t commands, SteadyTime deadline, std::vector<Answer>& answers) {
  const std::size_t wanted = answers.size() + commands;
  std::size_t read = 0;
  bool sent = false;
  const auto error = [&sent](const Status& why) { return sent ? absl::UnknownError(why.message()) : why; };
  while (answers.size() < wanted) {
    const std::size_t left = sdslen(context_->obuf);
    Result<short> ready = Await(static_cast<short>(left == 0 ? POLLIN : POLLIN | POLLOUT), deadline);
    if (!ready.ok()) return error(ready.status());
    if ((*ready & POLLOUT) != 0) {
      int all = 0;
      if (redisBufferWrite(context_.get(), &all) != REDIS_OK) return error(Broken());
      if (sdslen(context_->obuf) < left) sent = true;
    }
    if ((*ready & (POLLIN | POLLERR | POLLHUP)) == 0) continue;
    const std::size_t before = context_->reader->len - context_->reader->pos;
    if (redisBufferRead(context_.get()) != REDIS_OK) return error(Broken());
    read += context_->reader->len - context_->reader->pos - before;
    if (read > kMaxAnswerBytes) return error(Broken());
    if (Status taken = TakeAnswers(wanted, answers); !taken.ok()) return error(taken);
  }
  return absl::OkStatus();
}

Status RedisWire::TakeAnswers(std::size_t commands, std::vector<Answer>& answers) {
  while (answers.size() < commands) {
    void* reply = nullptr;
    if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return Broken();
    if (reply == nullptr) break;
    answers.push_back(AnswerOf(*static_cast<redisReply*>(reply)));
    freeReplyObject(reply);
  }
  return absl::OkStatus();
}

bool RedisWire::IsStale() const {
  pollfd socket{context_->fd, POLLIN, 0};
  return poll(&socket, 1, 0) != 0;
}

Result<short> RedisWire::Await(short events, SteadyTime deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return NotInTime();
    pollfd socket{context_->fd, events, 0};
    const int count = poll(&socket, 1, static_cast<int>(left.count()));
    if (count > 0) return socket.revents;
    if (count < 0 && errno != EINTR) return Broken();
  }
}

Status RedisWire::Send(const Secret& bytes, SteadyTime deadline) const {
  std::string_view left = bytes.Expose();
  while (!left.empty()) {
    if (Result<short> ready = Await(POLLOUT, deadline); !ready.ok()) return ready.status();
    const ssize_t sent = send(context_->fd, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EINTR && errno != EAGAIN) return Broken();
  }
  return absl::OkStatus();
}

}  // namespace tokend::state
