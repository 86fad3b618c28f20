#pragma once

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "daemon/loop/event_loop.h"
#include "daemon/loop/http_client.h"

namespace tokend::loop {

class CurlHttpClient;

// One HTTP exchange on a CurlLoop, found again through CURLOPT_PRIVATE of its easy handle.
class CurlTransfer {
 public:
  // Libcurl has finished, and the handle has left the multi handle. Loop thread.
  virtual void Finish(CURLcode code) = 0;

 protected:
  ~CurlTransfer() = default;
};

// The event loop of the daemon: one thread, whose idle wait is curl_multi_poll. The queue of posted tasks has
// no limit of its own: every poster bounds its tasks (server.max_in_flight, the ports' inboxes). Start, Stop
// and the destructor belong to the owner's thread. A process that has one ignores SIGPIPE.
class CurlLoop final : public EventLoop {
 public:
  CurlLoop();
  ~CurlLoop() override;
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  // Begins to run what was posted. Once.
  void Start();

  // Ends the thread after its current turn, and waits for that. Does not end transfers: stop their clients
  // first. Idempotent.
  void Stop();

  // A client on this loop's connections. Made and destroyed on the loop thread, or before Start, or after
  // Stop, and destroyed before the loop.
  std::unique_ptr<HttpClient> NewHttpClient(HttpClientOptions options);

  void Post(Task task) override;
  TimerId After(std::chrono::nanoseconds delay, Task task) override;
  void Cancel(TimerId timer) override;
  const Clock& clock() const override { return SystemClock(); }

  // For HTTP clients. Add and Remove take handles whose CURLOPT_PRIVATE is a CurlTransfer.
  void Add(CURL* handle);
  void Remove(CURL* handle);
  // How many connections to one host a client can use. The largest number of all clients is in force; zero
  // withdraws the client's. May be called from within libcurl's callbacks.
  void SetHostConnections(CurlHttpClient* client, std::size_t connections);
  // For HTTP clients: `piece` of a request is about to be sent on this connection. Libcurl sends the pieces
  // of each request one by one, and the second one a turn after the first. The connection holds them back
  // until the end of the turn in which a body is sent, so that the requests of a turn leave together. Linux
  // holds bytes back for at most 200 ms (TCP_CORK in tcp(7)). Loop thread, also within libcurl's callbacks.
  enum class Piece { kHeader, kBody };
  void HoldBack(int socket, Piece piece);

 private:
  void Run();
  // False once the loop is to end.
  bool RunTasks();
  void RunTimers();
  void RunTransfers();
  void SendHeldBack();
  void Wait();
  // A burst of requests leaves much memory behind. The loop returns it after a while without a burst.
  void AwaitQuiet();
  void DiscardTasks();
  bool OnLoopThread() const;

  CURLM* multi_;
  std::thread thread_;
  std::atomic<std::thread::id> loop_thread_{};  // none while the loop does not run

  std::mutex mutex_;  // guards the next four
  std::vector<Task> tasks_;
  bool waiting_ = false;  // the next Post must wake the loop
  bool stopping_ = false;
  bool stopped_ = false;

  // Loop thread only.
  std::vector<Task> turn_;  // the tasks of this turn; empty between turns
  std::map<TimerId, Task> timers_;
  std::uint64_t last_timer_ = 0;
  std::size_t transfers_ = 0;
  std::size_t most_transfers_ = 0;  // at the same time, since AwaitQuiet
  bool awaits_quiet_ = false;
  std::map<CurlHttpClient*, std::size_t> host_connections_;
  std::size_t host_connections_set_ = 0;
  struct HeldBack {
    int socket;
    bool has_body;
    bool waited_a_turn;
  };
  std::vector<HeldBack> held_back_;  // connections that hold bytes back
};

}  // namespace tokend::loop
