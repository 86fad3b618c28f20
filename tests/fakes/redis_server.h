#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace tokend::fakes {

// A real redis-server that only this test uses, in a temporary folder. Its settings say what it keeps between
// Kill and Start; by default it keeps nothing.
class RedisServer {
 public:
  enum class Door { kUnix, kTcp, kTls };  // kTls needs the settings tls-cert-file and so on
  struct Options {
    Door door = Door::kUnix;
    std::vector<std::string> settings = {};  // as on its command line: {"--appendonly", "yes"}
  };

  // Starts it and waits until it answers. Throws if redis-server is not installed.
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

  // Its answer to one command as text: one line for each element of a list, an error with its code. "" if it
  // does not answer.
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
