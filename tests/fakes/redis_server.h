#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace tokend::fakes {

// A real redis-server of the test's own, in a temporary folder. What it holds survives Kill and Start as far
// as its settings say so; by default nothing does.
class RedisServer {
 public:
  enum class Door { kUnix, kTcp };
  struct Options {
    Door door = Door::kUnix;
    std::vector<std::string> settings = {};  // as on its command line: {"--appendonly", "yes"}
  };

  // Starts it and waits until it answers. Throws where there is no redis-server.
  explicit RedisServer(Options options);
  RedisServer() : RedisServer(Options{}) {}
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  void Kill();   // by SIGKILL
  void Start();  // once more, with what it has saved
  void StartEmpty();
  void Pause();   // SIGSTOP
  void Resume();  // SIGCONT

  // What it answers to one command, as text: lists a line an element, errors with their code. "" to nothing.
  std::string Ask(const std::vector<std::string>& command) const;

  // As in the configuration: "unix:///…" or "127.0.0.1:PORT".
  std::string address() const;
  const std::string& socket() const { return socket_; }
  int port() const { return port_; }
  // Where it writes its log.
  std::string log() const { return folder_ + "/log"; }

 private:
  const Options options_;
  std::string folder_;
  std::string socket_;  // always there, for Ask
  int port_ = 0;        // 0: none
  pid_t pid_ = -1;
};

}  // namespace tokend::fakes
