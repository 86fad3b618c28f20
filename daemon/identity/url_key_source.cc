#include "daemon/identity/url_key_source.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/thread.h"
#include "daemon/identity/https_get.h"

namespace tokend::identity {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

// Threads whose source ended by their own hand, so that nobody waits for them. Each waits for the one before,
// and the end of the process for the last: what they still free belongs to libraries that end then too.
class Departed {
 public:
  Departed() = default;
  ~Departed() { Take({}); }
  Departed(const Departed&) = delete;
  Departed& operator=(const Departed&) = delete;

  void Take(std::thread thread) {
    {
      const std::lock_guard lock(mutex_);
      last_.swap(thread);
    }
    if (thread.joinable()) thread.join();
  }

 private:
  std::mutex mutex_;
  std::thread last_;
};

}  // namespace

// What the source and its thread share: the thread may outlive the source for a moment.
class UrlKeySource::Fetcher {
 public:
  Fetcher(config::JwksUrl url, KeyFetchTimes times, FetchObserver observer)
      : times_(times), observer_(std::move(observer)), get_(std::move(url), kMaxKeySetBytes, times.longest) {}

  Keys Current() const {
    const std::lock_guard lock(mutex_);
    return Usable();
  }

  void Renew(Then then);
  void Run();
  void Stop();

 private:
  Keys Usable() const { return keys_ && Now() - fetched_ <= times_.max_age ? keys_ : nullptr; }

  Result<Keys> Fetch();
  // Takes in how the fetch ended that began at `begun_`.
  void Settle(const Result<Keys>& fetched);
  // Answers who waits. Not under the lock: `then` may ask for more.
  void Release(std::unique_lock<std::mutex>& lock);

  const KeyFetchTimes times_;
  const FetchObserver observer_;
  HttpsGet get_;  // the thread's own, but for Interrupt

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Keys keys_;
  SteadyTime fetched_;                 // when keys_ last came
  SteadyTime begun_;                   // when the last fetch began
  std::optional<SteadyTime> renewed_;  // when a caller last had one begin
  SteadyTime next_ = Now();            // when one begins unasked
  std::chrono::milliseconds retry_{0};
  bool wanted_ = true;  // a fetch is to begin, or runs
  bool stopping_ = false;
  std::vector<Then> waiting_;
};

void UrlKeySource::Fetcher::Renew(Then then) {
  std::unique_lock lock(mutex_);
  const bool may_begin = wanted_ || !renewed_ || Now() - *renewed_ >= times_.least_apart;
  if (stopping_ || !may_begin || waiting_.size() >= kMaxWaiting) {
    const Keys keys = Usable();
    lock.unlock();
    return then(keys);
  }
  waiting_.push_back(std::move(then));
  if (std::exchange(wanted_, true)) return;
  renewed_ = Now();
  wake_.notify_one();
}

void UrlKeySource::Fetcher::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_until(lock, next_, [this] { return stopping_ || wanted_; });
    if (stopping_) break;
    wanted_ = true;
    begun_ = Now();
    lock.unlock();
    const Result<Keys> fetched = Fetch();
    lock.lock();
    if (stopping_) break;
    Settle(fetched);
    Release(lock);
    // Whoever waited may have ended the source meanwhile.
    if (!observer_ || stopping_) continue;
    lock.unlock();
    observer_(fetched.status());
    lock.lock();
  }
  Release(lock);
}

Result<KeySource::Keys> UrlKeySource::Fetcher::Fetch() {
  const Result<std::string> text = get_.Run();
  if (!text.ok()) return text.status();
  Result<Keys> keys = KeySet::Parse(*text);
  if (!keys.ok()) return absl::UnavailableError("the answer " + std::string(keys.status().message()));
  return keys;
}

void UrlKeySource::Fetcher::Settle(const Result<Keys>& fetched) {
  wanted_ = false;
  if (!fetched.ok()) {
    retry_ = std::max(std::min(2 * retry_, times_.least_apart), times_.first_retry);
    next_ = begun_ + retry_;
    return;
  }
  retry_ = std::chrono::milliseconds(0);
  next_ = begun_ + times_.period;
  fetched_ = Now();
  // The same keys stay the same set, and tokens that they have verified stay verified.
  if (!keys_ || keys_->digest() != (*fetched)->digest()) keys_ = *fetched;
}

void UrlKeySource::Fetcher::Release(std::unique_lock<std::mutex>& lock) {
  std::vector<Then> waiting = std::exchange(waiting_, {});
  const Keys keys = Usable();
  lock.unlock();
  for (Then& then : waiting) then(keys);
  // With what they hold.
  waiting.clear();
  lock.lock();
}

void UrlKeySource::Fetcher::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  get_.Interrupt();
}

UrlKeySource::UrlKeySource(config::JwksUrl url, KeyFetchTimes times, FetchObserver observer)
    : fetcher_(std::make_shared<Fetcher>(std::move(url), times, std::move(observer))),
      thread_(StartThread("jwks", [fetcher = fetcher_] { fetcher->Run(); })) {}

UrlKeySource::~UrlKeySource() {
  fetcher_->Stop();
  // Whoever was waiting may have held the last reference to this.
  if (thread_.get_id() == std::this_thread::get_id()) {
    static Departed departed;
    departed.Take(std::move(thread_));
  } else {
    thread_.join();
  }
}

KeySource::Keys UrlKeySource::Current() const { return fetcher_->Current(); }

void UrlKeySource::Renew(Then then) { fetcher_->Renew(std::move(then)); }

}  // namespace tokend::identity
