#pragma once

#include <curl/curl.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace tokend::identity {

// Gets one document over HTTPS, and blocks meanwhile: one thread at a time, but for Interrupt. No redirect is
// followed, no proxy asked, no connection kept; the CA and token files are read anew each time.
class HttpsGet {
 public:
  HttpsGet(config::JwksUrl from, std::size_t max_bytes, std::chrono::milliseconds timeout);

  // The body of an answer with status 200. Errors are in fixed words.
  Result<std::string> Run();

  // Ends Run, now and ever after. Any thread.
  void Interrupt();

 private:
  // Both of libcurl's handles are void to it.
  struct CleanUp {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
  };

  Status SetOptions(CURL* easy) const;
  Result<CURLcode> Perform(CURL* easy);

  const config::JwksUrl from_;
  const std::size_t max_bytes_;
  const std::chrono::milliseconds timeout_;
  const std::unique_ptr<CURLM, CleanUp> multi_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace tokend::identity
