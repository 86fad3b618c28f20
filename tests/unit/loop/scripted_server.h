#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tokend::loop {

class ScriptedServer;

// One accepted connection, in the hands of the script.
class Connection {
 public:
  Connection(ScriptedServer& server, int socket, int number)
      : server_(server), socket_(socket), number_(number) {}

  // Which connection this is, from 1.
  int number() const { return number_; }

  // Reads one whole request, its body included, and counts it. False if the client goes first.
  bool ReadRequest();
  // Reads a request up to the end of its header.
  bool ReadHeader();
  bool Send(std::string_view text);
  // Ends the connection with a RST.
  void Reset();
  // Waits until the client closes.
  void AwaitClose();

 private:
  bool ReadMore();

  ScriptedServer& server_;
  int socket_;
  int number_;
  std::string unread_;
};

// A server on loopback that does to each connection what the script says, on a thread of its own; the
// connection closes when the script returns.
class ScriptedServer {
 public:
  using Script = std::function<void(Connection&)>;

  explicit ScriptedServer(Script script);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  // "http" or "https"; the server itself never speaks TLS.
  std::string Url(std::string_view scheme = "http") const;
  // No further connection is accepted, and none can be made.
  void StopListening();

  int posts() const { return posts_; }
  int connections() const { return connections_; }
  // Waits until no connection is open.
  void AwaitClosed() const;
  // Everything that was read, request after request.
  std::string received() const;

 private:
  friend class Connection;

  void Accept();

  Script script_;
  int listener_;
  int port_;
  std::atomic<int> posts_{0};
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  mutable std::condition_variable closed_;
  std::string received_;
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// A whole answer with that status and body.
std::string HttpAnswerText(int status, std::string_view body, std::string_view more_headers = "");

}  // namespace tokend::loop
