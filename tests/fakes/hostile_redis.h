#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace tokend::fakes {

// A server on a unix socket to which a client of Redis can connect, and whose answers to scripts its test
// makes, byte for byte.
class HostileRedis {
 public:
  using Command = std::vector<std::string>;
  // Gets a command of a script, and returns what is sent for it. On the server's thread.
  using Answer = std::function<std::string(const Command& command)>;

  explicit HostileRedis(Answer answer);
  ~HostileRedis();
  HostileRedis(const HostileRedis&) = delete;
  HostileRedis& operator=(const HostileRedis&) = delete;

  const std::string& socket() const { return socket_; }
  int connections() const { return connections_; }

  // In Redis's protocol: a text, a number, a list of such answers, and a script's whole answer to the
  // command.
  static std::string Text(const std::string& text);
  static std::string Number(std::int64_t number);
  static std::string List(const std::vector<std::string>& elements);
  static std::string AnswerTo(const Command& command, const std::string& answer);

 private:
  void Run();
  // Answers the commands that have arrived. False if the client has closed the connection.
  bool Serve(int client, std::string& received);

  const Answer answer_;
  std::string folder_;
  std::string socket_;
  int listener_ = -1;
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tokend::fakes
