#include "daemon/state/redis/wire.h"

#include <algorithm>
#include <array>
#include <string>

namespace tokend::state {
namespace {

using Answers = std::vector<RedisWire::Answer>;

void AppendTo(WipedBytes& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}

void AppendLine(WipedBytes& bytes, char kind, std::size_t count) {
  bytes.push_back(kind);
  AppendTo(bytes, std::to_string(count));
  AppendTo(bytes, "\r\n");
}

}  // namespace

Result<RedisWire> RedisWire::Open(const config::Address& address, const std::optional<config::ClientTls>& tls,
                                  SteadyTime deadline) {
  Result<RedisSocket> socket = RedisSocket::Open(address, tls, deadline);
  if (!socket.ok()) return socket.status();
  return RedisWire(*std::move(socket));
}

Status RedisWire::LogIn(std::string_view username, const Secret& password, SteadyTime deadline) {
  std::vector<std::string_view> command = {"AUTH"};
  if (!username.empty()) command.push_back(username);
  command.push_back(password.Expose());
  Append(command);
  Answers answers;
  if (Status read = Exchange(1, deadline, answers); !read.ok()) return read;
  // This includes "ERR", the answer of a Redis that has no password, or not this user.
  if (!answers.front().ok()) return absl::UnavailableError("Redis refuses the user or the password");
  return absl::OkStatus();
}

void RedisWire::Append(const std::vector<std::string_view>& command) {
  AppendLine(pipeline_, '*', command.size());
  for (const std::string_view word : command) {
    AppendLine(pipeline_, '$', word.size());
    AppendTo(pipeline_, word);
    AppendTo(pipeline_, "\r\n");
  }
}

Status RedisWire::Exchange(std::size_t commands, SteadyTime deadline, Answers& answers) {
  const WipedBytes pipeline = std::exchange(pipeline_, {});
  std::string_view left(pipeline.data(), pipeline.size());
  RedisReplies replies;
  Answers read;
  std::array<char, 16384> buffer;
  Status broken;
  while (broken.ok() && read.size() < commands) {
    const Result<std::size_t> sent = socket_.Write(left);
    if (sent.ok()) left.remove_prefix(*sent);
    const Result<std::size_t> got = sent.ok() ? socket_.Read(buffer.data(), buffer.size()) : sent;
    if (!got.ok()) {
      broken = got.status();
    } else if (*got == 0) {
      broken =
          socket_.Await(left.empty() ? RedisSocket::For::kRead : RedisSocket::For::kReadOrWrite, deadline);
    } else if (!replies.Take({buffer.data(), *got}, read)) {
      broken = absl::UnavailableError("Redis sent what is no answer, or too long a one");
    }
  }
  if (broken.ok() && (read.size() > commands || replies.has_part() || !left.empty())) {
    broken = absl::UnavailableError("Redis sent more answers than it was asked for");
  }
  if (left.size() < pipeline.size() && !broken.ok()) broken = absl::UnknownError(broken.message());
  // The answers to earlier commands are right, as each of them is known by its nonce. An error has none.
  const std::size_t count = std::min(read.size(), commands);
  for (std::size_t i = 0; i < count; ++i) {
    answers.push_back(read[i].ok() || broken.ok() ? std::move(read[i]) : Answer(broken));
  }
  return broken;
}

bool RedisWire::IsStale() {
  char byte = 0;
  const Result<std::size_t> got = socket_.Read(&byte, 1);
  return !got.ok() || *got > 0;
}

}  // namespace tokend::state
