#include "tests/fakes/hostile_redis.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace tokend::fakes {
namespace {

constexpr int kLookEveryMs = 10;  // how often it looks whether it is to stop

// Takes the first whole command from what was received.
std::optional<HostileRedis::Command> TakeCommand(std::string& received) {
  std::size_t at = 0;
  const auto number = [&](char kind) -> std::optional<std::size_t> {
    const std::size_t end = received.find("\r\n", at);
    if (end == std::string::npos) return std::nullopt;
    if (received[at] != kind) throw std::runtime_error("not a command");
    const std::size_t value = std::stoul(received.substr(at + 1, end - at - 1));
    at = end + 2;
    return value;
  };
  const auto words = number('*');
  if (!words) return std::nullopt;
  HostileRedis::Command command;
  for (std::size_t i = 0; i < *words; ++i) {
    const auto size = number('$');
    if (!size || received.size() < at + *size + 2) return std::nullopt;
    command.push_back(received.substr(at, *size));
    at += *size + 2;
  }
  received.erase(0, at);
  return command;
}

// What the client does not take is lost: it may have closed the connection.
void SendAll(int client, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace

HostileRedis::HostileRedis(Answer answer) : answer_(std::move(answer)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "tokend-hostile-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
  socket_ = folder_ + "/redis.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener_, 16) != 0) {
    throw std::runtime_error("the hostile Redis cannot listen");
  }
  thread_ = std::thread([this] { Run(); });
}

HostileRedis::~HostileRedis() {
  stopping_ = true;
  thread_.join();
  close(listener_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void HostileRedis::Run() {
  while (!stopping_) {
    pollfd waits{listener_, POLLIN, 0};
    if (poll(&waits, 1, kLookEveryMs) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    ++connections_;
    std::string received;
    while (!stopping_) {
      pollfd data{client, POLLIN, 0};
      if (poll(&data, 1, kLookEveryMs) > 0 && !Serve(client, received)) break;
    }
    close(client);
  }
}

bool HostileRedis::Serve(int client, std::string& received) {
  std::array<char, 65536> bytes;
  const ssize_t count = recv(client, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  received.append(bytes.data(), static_cast<std::size_t>(count));
  while (const auto command = TakeCommand(received)) {
    const bool is_info = command->front() == "INFO";
    SendAll(client, is_info ? Text("maxmemory_policy:noeviction\r\n") : answer_(*command));
  }
  return true;
}

std::string HostileRedis::Text(const std::string& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}
std::string HostileRedis::Number(std::int64_t number) { return ":" + std::to_string(number) + "\r\n"; }
std::string HostileRedis::List(const std::vector<std::string>& elements) {
  std::string list = "*" + std::to_string(elements.size()) + "\r\n";
  for (const std::string& element : elements) list += element;
  return list;
}
std::string HostileRedis::AnswerTo(const Command& command, const std::string& answer) {
  return List({Text(command.back()), answer});
}

}  // namespace tokend::fakes
