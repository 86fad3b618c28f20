#include "daemon/identity/url_key_source.h"

#include <algorithm>
#include <cassert>
#include <deque>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/key_file.h"
#include "daemon/base/read_file.h"
#include "daemon/base/secret.h"
#include "daemon/identity/authenticator.h"

namespace tokend::identity {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

constexpr int kStatusOk = 200;

static_assert(KeyFetchTimes{}.longest < kLongestWait);

Status Failed(std::string_view why) { return absl::UnavailableError({why.data(), why.size()}); }

// No connection is kept, and the CA file is read for each fetch.
loop::HttpClientOptions HttpOptions(const config::JwksUrl& url, milliseconds longest) {
  return {.ca_file = url.ca_file,
          .ca_max_age = std::chrono::seconds(0),
          .connect_timeout = longest,
          .timeout = longest,
          .connection_max_idle = milliseconds(0),
          .max_response_size = kMaxKeySetBytes,
          .max_connections = 1};
}

Status AddToken(const std::string& file, loop::HeaderList& headers) {
  const Result<Secret> contents = ReadBoundedFile(file, kMaxKeyBytes + 2);
  if (!contents.ok()) return contents.status();
  std::string_view text = contents->Expose();
  if (text.ends_with('\n')) text.remove_suffix(1);
  const Result<Secret> token = MakeKey(file, text);
  if (!token.ok()) return token.status();
  Secret value("Bearer ");
  value.Reserve(value.size() + token->size());
  value.Append(token->Expose());
  headers.Add("authorization", value.Expose());
  return absl::OkStatus();
}

Result<KeySource::Keys> KeysIn(const loop::HttpAnswer& answer) {
  if (answer.ending == loop::Ending::kTooLarge) return Failed("the answer is too large");
  if (answer.ending != loop::Ending::kComplete) return Failed(answer.error);
  if (answer.status != kStatusOk) return Failed("the answer is not a 200");
  Result<KeySource::Keys> keys = KeySet::Parse(answer.body.Expose());
  if (!keys.ok()) return absl::UnavailableError("the answer " + std::string(keys.status().message()));
  return keys;
}

}  // namespace

// The part of the source that the loop shares. The loop holds it until the source has ended and every call is
// answered.
class UrlKeySource::Fetcher : public std::enable_shared_from_this<Fetcher> {
 public:
  Fetcher(config::JwksUrl url, KeyFetchTimes times, FetchObserver observer, loop::CurlLoop& loop)
      : url_(std::move(url)), times_(times), observer_(std::move(observer)), loop_(loop) {}
  // The loop has stopped, or all calls are answered.
  ~Fetcher() {
    for (std::deque<Then>* calls : {&answering_, &waiting_}) {
      for (Then& then : *calls) then(Usable());
    }
  }
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  // Any thread.
  Keys Current() const {
    const std::lock_guard lock(mutex_);
    return Usable();
  }

  void Renew(Then then) {
    std::unique_lock lock(mutex_);
    const bool may_begin = fetching_ || !renewed_ || Now() - *renewed_ >= times_.least_apart;
    if (!may_begin || waiting_.size() + answering_.size() >= kMaxWaiting) {
      const Keys keys = Usable();
      lock.unlock();
      return then(keys);
    }
    waiting_.push_back(std::move(then));
    if (std::exchange(fetching_, true)) return;
    renewed_ = Now();
    lock.unlock();
    loop_.Post([self = shared_from_this()] { self->Fetch(); });
  }

  // Loop thread. Start comes first, and Stop last.
  void Start() {
    client_ = loop_.NewHttpClient(HttpOptions(url_, times_.longest));
    Fetch();
  }

  void Stop() {
    if (next_fetch_) loop_.Cancel(*next_fetch_);
    client_ = nullptr;
    AnswerWaiting();
  }

 private:
  SteadyTime Now() const { return loop_.clock().Now(); }
  // Under the lock.
  Keys Usable() const { return keys_ && Now() - fetched_ <= times_.max_age ? keys_ : nullptr; }

  // Loop thread, as all below.
  void Fetch() {
    if (client_ == nullptr || sent_) return;
    sent_ = true;
    if (next_fetch_) loop_.Cancel(*std::exchange(next_fetch_, std::nullopt));
    begun_ = Now();
    auto headers = std::make_shared<loop::HeaderList>();
    headers->Add("accept", "application/jwk-set+json, application/json");
    if (!url_.token_file.empty()) {
      if (const Status added = AddToken(url_.token_file, *headers); !added.ok()) return OnFetched(added);
    }
    client_->Get({url_.url, std::move(headers)}, [this](const loop::HttpAnswer& answer) {
      // The client stops only in Stop or in the destructor, and these answer the calls.
      if (answer.ending != loop::Ending::kStopped) OnFetched(KeysIn(answer));
    });
  }

  void OnFetched(const Result<Keys>& fetched) {
    assert(sent_);
    sent_ = false;
    {
      const std::lock_guard lock(mutex_);
      fetching_ = false;
      if (fetched.ok()) {
        fetched_ = Now();
        // A set with the same keys stays the same object: the tokens that it has verified stay verified.
        if (!keys_ || keys_->digest() != (*fetched)->digest()) keys_ = *fetched;
      }
    }
    next_fetch_ = loop_.After(begun_ + PauseAfter(fetched.status()) - Now(), [this] {
      next_fetch_.reset();
      {
        const std::lock_guard lock(mutex_);
        fetching_ = true;
      }
      Fetch();
    });
    AnswerWaiting();
    if (observer_) observer_(fetched);
  }

  milliseconds PauseAfter(const Status& fetched) {
    retry_ = fetched.ok() ? milliseconds(0)
                          : std::max(std::min(2 * retry_, times_.least_apart), times_.first_retry);
    return fetched.ok() ? times_.period : retry_;
  }

  void AnswerWaiting() {
    {
      const std::lock_guard lock(mutex_);
      std::move(waiting_.begin(), waiting_.end(), std::back_inserter(answering_));
      waiting_.clear();
    }
    loop_.Post([self = shared_from_this()] { self->AnswerNext(); });
  }

  // One call a turn of the loop: to answer means to verify a signature, and other requests do not wait for
  // all.
  void AnswerNext() {
    Then then;
    Keys keys;
    {
      const std::lock_guard lock(mutex_);
      if (answering_.empty()) return;
      then = std::move(answering_.front());
      answering_.pop_front();
      keys = Usable();
    }
    then(keys);
    loop_.Post([self = shared_from_this()] { self->AnswerNext(); });
  }

  const config::JwksUrl url_;
  const KeyFetchTimes times_;
  const FetchObserver observer_;
  loop::CurlLoop& loop_;

  mutable std::mutex mutex_;  // guards the next six
  Keys keys_;
  SteadyTime fetched_;                 // when keys_ last came
  std::optional<SteadyTime> renewed_;  // when a caller last had a fetch begin
  bool fetching_ = true;               // a fetch runs or is about to begin
  std::deque<Then> waiting_;           // for that fetch
  std::deque<Then> answering_;         // their fetch has ended

  // Loop thread only.
  bool sent_ = false;
  SteadyTime begun_;  // when the last fetch began
  milliseconds retry_{0};
  std::optional<loop::TimerId> next_fetch_;
  std::unique_ptr<loop::HttpClient> client_;
};

UrlKeySource::UrlKeySource(config::JwksUrl url, KeyFetchTimes times, FetchObserver observer,
                           loop::CurlLoop& loop)
    : fetcher_(std::make_shared<Fetcher>(std::move(url), times, std::move(observer), loop)), loop_(loop) {
  loop.Post([fetcher = fetcher_] { fetcher->Start(); });
}

// The fetcher's HTTP client ends on the loop thread, or with the task where the loop has stopped.
UrlKeySource::~UrlKeySource() {
  loop_.Post([fetcher = std::move(fetcher_)] { fetcher->Stop(); });
}

KeySource::Keys UrlKeySource::Current() const { return fetcher_->Current(); }

void UrlKeySource::Renew(Then then) { fetcher_->Renew(std::move(then)); }

}  // namespace tokend::identity
