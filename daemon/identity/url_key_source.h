#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/identity/key_source.h"

namespace tokend::identity {

struct KeyFetchTimes {
  std::chrono::milliseconds period{std::chrono::minutes(10)};
  // Between the beginnings of two fetches that a caller asks for, and of two after failures.
  std::chrono::milliseconds least_apart{std::chrono::minutes(1)};
  std::chrono::milliseconds first_retry{std::chrono::seconds(1)};  // then twice as long each, to least_apart
  std::chrono::milliseconds longest{std::chrono::seconds(4)};      // of one fetch; below kLongestWait
  std::chrono::milliseconds max_age{std::chrono::hours(24)};       // of keys whose fetches fail
};

// Told how each fetch ended, in fixed words, on the thread that fetches; must not block.
using FetchObserver = std::function<void(const Status&)>;

// A JWK Set behind an https URL. A thread of its own fetches it: at the start, every `period`, and when a
// caller asks for newer keys. There are none until the first fetch has succeeded. While fetches fail the last
// keys serve, for at most `max_age`.
class UrlKeySource final : public KeySource {
 public:
  // Calls that wait for a fetch; more are not held.
  static constexpr std::size_t kMaxWaiting = 256;

  UrlKeySource(config::JwksUrl url, KeyFetchTimes times, FetchObserver observer);
  // Ends a fetch that runs; whoever waits for it is answered first.
  ~UrlKeySource() override;
  UrlKeySource(const UrlKeySource&) = delete;
  UrlKeySource& operator=(const UrlKeySource&) = delete;

  Keys Current() const override;
  void Renew(Then then) override;

 private:
  class Fetcher;

  std::shared_ptr<Fetcher> fetcher_;
  std::thread thread_;
};

}  // namespace tokend::identity
