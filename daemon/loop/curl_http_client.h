#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <vector>

#include "daemon/loop/http_client.h"

namespace tokend::loop {

class CurlLoop;
class CurlPost;

// HTTP over the loop's libcurl. What it promises beyond HttpClient, whatever the server or a connection does:
// one POST at most, no redirect, no proxy, no credentials but the request's headers, TLS 1.2 or later with a
// verified server, bounded headers and body.
class CurlHttpClient final : public HttpClient {
 public:
  CurlHttpClient(CurlLoop& loop, HttpClientOptions options);
  ~CurlHttpClient() override;
  CurlHttpClient(const CurlHttpClient&) = delete;
  CurlHttpClient& operator=(const CurlHttpClient&) = delete;

  // A body over kMaxRequestBody is refused, and after Stop everything is: as kBroken or kStopped, not sent.
  void Post(HttpPost request, Done done) override;
  void WipeCopies(std::string_view secret) override;
  void Stop() override;

  // Libcurl announces larger bodies with "Expect: 100-continue", which doubles the ways in which a server can
  // answer early.
  static constexpr std::size_t kMaxRequestBody = 1048576;

 private:
  friend class CurlPost;

  enum class Protocol { kHttp1, kHttp2 };

  // What the server speaks: how many connections there may be follows.
  void SetProtocol(Protocol protocol);
  // The exchange is over; it may be gone when this returns.
  void Release(CurlPost* post, Ending ending);
  void Decline(Done done, Ending ending, const char* error);

  CurlLoop& loop_;
  const HttpClientOptions options_;
  Protocol protocol_ = Protocol::kHttp2;
  bool stopped_ = false;
  std::unordered_map<CurlPost*, std::unique_ptr<CurlPost>> running_;
  std::vector<std::unique_ptr<CurlPost>> idle_;
};

}  // namespace tokend::loop
