#include "daemon/loop/curl_loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <csignal>
#include <new>
#include <stdexcept>

#include "daemon/base/release_memory.h"
#include "daemon/base/thread.h"
#include "daemon/loop/curl_http_client.h"
#include "daemon/loop/curl_memory.h"

namespace tokend::loop {
namespace {

using std::chrono::milliseconds;

// Every wait has a bound, also that of an idle loop.
constexpr milliseconds kLongestWait{60000};

// Idle connections that are kept, to all hosts together. Libcurl's default follows the number of running
// transfers, so that it would close nearly all connections after a burst.
constexpr long kMaxIdleConnections = 1024;

// The queue of tasks keeps its memory from turn to turn, up to this many tasks.
constexpr std::size_t kMaxKeptRoom = 1024;

// A burst is this many requests at the same time. The loop returns memory after this long without one. What
// fewer requests leave behind is little, and the next ones use it.
constexpr std::size_t kBurst = 16;
constexpr std::chrono::seconds kQuiet{4};

// False for what is not a TCP connection.
bool SetCork(int socket, int on) { return setsockopt(socket, IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0; }

void PrepareProcess() {
  static const bool ready = [] {
    // With CURLOPT_NOSIGNAL libcurl leaves SIGPIPE to us, and OpenSSL writes to sockets that the peer may
    // have closed.
    std::signal(SIGPIPE, SIG_IGN);
    return StartCurl();
  }();
  if (!ready) throw std::runtime_error("libcurl cannot start");
  // Otherwise names would resolve on the loop thread, and one dead name server would stop everything.
  const bool resolves_apart = (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) != 0;
  if (!resolves_apart) throw std::runtime_error("libcurl is built without an asynchronous resolver");
}

}  // namespace

CurlLoop::CurlLoop() {
  PrepareProcess();
  multi_ = curl_multi_init();
  if (multi_ == nullptr) throw std::bad_alloc();
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kMaxIdleConnections);
}

CurlLoop::~CurlLoop() {
  Stop();
  timers_.clear();
  curl_multi_cleanup(multi_);
}

void CurlLoop::Start() {
  assert(!thread_.joinable());
  thread_ = StartThread("loop", [this] { Run(); });
}

void CurlLoop::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) {
    curl_multi_wakeup(multi_);
    thread_.join();
    loop_thread_ = std::thread::id();
  }
  DiscardTasks();
}

std::unique_ptr<HttpClient> CurlLoop::NewHttpClient(HttpClientOptions options) {
  return std::make_unique<CurlHttpClient>(*this, std::move(options));
}

void CurlLoop::Post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    tasks_.push_back(std::move(task));
    if (!waiting_) return;
    waiting_ = false;
  }
  // A wake-up that comes before the wait begins ends that wait at once: none is lost.
  curl_multi_wakeup(multi_);
}

TimerId CurlLoop::After(std::chrono::nanoseconds delay, Task task) {
  assert(OnLoopThread());
  const TimerId timer{clock().Now() + std::max(delay, std::chrono::nanoseconds(0)), ++last_timer_};
  timers_.emplace(timer, std::move(task));
  return timer;
}

void CurlLoop::Cancel(TimerId timer) {
  assert(OnLoopThread());
  timers_.erase(timer);
}

void CurlLoop::Add(CURL* handle) {
  if (curl_multi_add_handle(multi_, handle) != CURLM_OK) throw std::bad_alloc();
  ++transfers_;
  most_transfers_ = std::max(most_transfers_, transfers_);
  if (transfers_ >= kBurst && !awaits_quiet_) AwaitQuiet();
}

void CurlLoop::Remove(CURL* handle) {
  curl_multi_remove_handle(multi_, handle);
  --transfers_;
}

void CurlLoop::AwaitQuiet() {
  awaits_quiet_ = true;
  most_transfers_ = transfers_;
  After(kQuiet, [this] {
    if (most_transfers_ >= kBurst) return AwaitQuiet();
    awaits_quiet_ = false;
    for (const auto& [client, connections] : host_connections_) client->DropIdleHandles();
    ReturnFreeMemory();
  });
}

void CurlLoop::SetHostConnections(CurlHttpClient* client, std::size_t connections) {
  if (connections == 0) {
    host_connections_.erase(client);
  } else {
    host_connections_[client] = connections;
  }
}

void CurlLoop::HoldBack(int socket, Piece piece) {
  assert(OnLoopThread());
  auto found = std::ranges::find(held_back_, socket, &HeldBack::socket);
  if (found == held_back_.end()) {
    if (!SetCork(socket, 1)) return;
    found = held_back_.insert(found, {socket, false, false});
  }
  if (piece == Piece::kBody) found->has_body = true;
}

// SetCork has no effect on a socket that was closed meanwhile, or on another file that has its number now.
void CurlLoop::SendHeldBack() {
  std::erase_if(held_back_, [](HeldBack& held) {
    if (!held.has_body && !std::exchange(held.waited_a_turn, true)) return false;
    SetCork(held.socket, 0);
    return true;
  });
}

void CurlLoop::Run() {
  loop_thread_ = std::this_thread::get_id();
  while (RunTasks()) {
    RunTimers();
    RunTransfers();
    SendHeldBack();
    Wait();
  }
}

bool CurlLoop::RunTasks() {
  {
    const std::lock_guard lock(mutex_);
    waiting_ = false;
    if (stopping_) return false;
    turn_.swap(tasks_);
  }
  for (Task& task : turn_) std::exchange(task, nullptr)();
  turn_.clear();
  if (turn_.capacity() > kMaxKeptRoom) turn_.shrink_to_fit();
  return true;
}

void CurlLoop::RunTimers() {
  if (timers_.empty()) return;
  const auto now = clock().Now();
  while (!timers_.empty() && timers_.begin()->first.due <= now) {
    timers_.extract(timers_.begin()).mapped()();
  }
}

void CurlLoop::RunTransfers() {
  if (transfers_ == 0) return;
  std::size_t most = 0;
  for (const auto& [client, connections] : host_connections_) most = std::max(most, connections);
  if (most != host_connections_set_) {
    curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(most));
    host_connections_set_ = most;
  }

  int running = 0;
  curl_multi_perform(multi_, &running);
  int queued = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* const handle = message->easy_handle;
    const CURLcode code = message->data.result;  // Remove invalidates the message
    CurlTransfer* transfer = nullptr;
    curl_easy_getinfo(handle, CURLINFO_PRIVATE, &transfer);
    Remove(handle);
    transfer->Finish(code);
  }
}

void CurlLoop::Wait() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || !tasks_.empty()) return;
    waiting_ = true;
  }
  milliseconds wait = kLongestWait;
  if (!timers_.empty()) {
    const auto left = timers_.begin()->first.due - clock().Now();
    wait = std::clamp(std::chrono::ceil<milliseconds>(left), milliseconds(0), kLongestWait);
  }
  curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait.count()), nullptr);
}

// Destroys what it discards at its end, without the lock: the destructors of what tasks hold may call this
// loop.
void CurlLoop::DiscardTasks() {
  const std::map<TimerId, Task> timers = std::exchange(timers_, {});
  std::vector<Task> tasks;
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  tasks.swap(tasks_);
}

bool CurlLoop::OnLoopThread() const {
  const std::thread::id loop_thread = loop_thread_;
  return loop_thread == std::thread::id() || loop_thread == std::this_thread::get_id();
}

}  // namespace tokend::loop
