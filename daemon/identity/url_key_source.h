#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/identity/key_source.h"
#include "daemon/loop/curl_loop.h"

namespace tokend::identity {

// All of the process's steady clock.
struct KeyFetchTimes {
  std::chrono::milliseconds period{std::chrono::minutes(10)};
  // Between the beginnings of two fetches that callers ask for, and of two fetches after failures.
  std::chrono::milliseconds least_apart{std::chrono::minutes(1)};
  // After the first failure; after each further one twice as long, up to least_apart.
  std::chrono::milliseconds first_retry{std::chrono::seconds(1)};
  std::chrono::milliseconds longest{std::chrono::seconds(4)};  // of one fetch; below kLongestWait
  std::chrono::milliseconds max_age{std::chrono::hours(24)};   // of keys while fetches fail
};

// Told how each fetch ended: the keys, or why there are none in fixed words. Loop thread; must not block. A
// fetch that ends while the source is destroyed may still be told.
using FetchObserver = std::function<void(const Result<KeySource::Keys>&)>;

// A JWK Set behind an https URL, fetched by the loop: at the start, every `period`, and when a caller asks
// for newer keys. There are no keys until the first fetch has succeeded. While fetches fail, the last keys
// serve for at most `max_age`. May be made and destroyed on any thread.
class UrlKeySource final : public KeySource {
 public:
  // How many calls may wait for a fetch. A further call is answered at once with the current keys.
  static constexpr std::size_t kMaxWaiting = 256;

  // `loop` outlives this.
  UrlKeySource(config::JwksUrl url, KeyFetchTimes times, FetchObserver observer, loop::CurlLoop& loop);
  // Ends a fetch that runs. The loop then answers the calls that wait for it.
  ~UrlKeySource() override;
  UrlKeySource(const UrlKeySource&) = delete;
  UrlKeySource& operator=(const UrlKeySource&) = delete;

  Keys Current() const override;
  void Renew(Then then) override;

 private:
  class Fetcher;

  std::shared_ptr<Fetcher> fetcher_;
  loop::CurlLoop& loop_;
};

}  // namespace tokend::identity
