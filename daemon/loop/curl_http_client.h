#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "daemon/loop/connection_pool.h"
#include "daemon/loop/http_client.h"

namespace tokend::loop {

class CurlLoop;
class CurlExchange;

// HTTP over the loop's libcurl. Beyond HttpClient it promises, whatever the server or a connection does: no
// proxy but that of the options, no credentials but the request's headers, TLS 1.2 or later with a verified
// server that has a subject alternative name, bounded headers and body.
class CurlHttpClient final : public HttpClient {
 public:
  CurlHttpClient(CurlLoop& loop, HttpClientOptions options);
  ~CurlHttpClient() override;
  CurlHttpClient(const CurlHttpClient&) = delete;
  CurlHttpClient& operator=(const CurlHttpClient&) = delete;

  // A body over kMaxRequestBody ends as kBroken, and any request after Stop as kStopped; neither is sent.
  void Post(HttpPost request, Done done) override;
  void Get(HttpGet request, Done done) override;
  void WipeCopies(std::string_view secret) override;
  void Stop() override;

  // Frees the handles that no request uses. Each holds up to 50 KB after a request. Loop thread.
  void DropIdleHandles();

  // Libcurl announces a larger body with "Expect: 100-continue", which gives a server more ways to answer
  // early.
  static constexpr std::size_t kMaxRequestBody = 1048576;

 private:
  friend class CurlExchange;

  enum class Protocol { kHttp1, kHttp2 };

  // A GET where `request.body` is empty.
  void Begin(HttpPost request, Done done);
  // Whether a request that wants such a connection cannot have one of the pool.
  bool NeedsNewPool(HttpPost::Connection connection) const;
  // Makes another pool, for later requests and for those that have no connection yet. Not from within
  // libcurl's callbacks.
  void RenewPool();
  // The connection of this pool carries no further request. Not from within libcurl's callbacks.
  void Abandon(const std::shared_ptr<ConnectionPool>& pool, int local_port);
  // Whether a request on the connection has failed, which libcurl may not have said yet.
  bool HasFailed(const ConnectionPool* pool, int local_port) const;
  // Sets what the server speaks, which decides how many connections there may be.
  void SetProtocol(Protocol protocol);
  // The exchange is over; this may destroy it.
  void Release(CurlExchange* exchange, Ending ending);
  void Decline(Done done, Ending ending, const char* error);

  CurlLoop& loop_;
  const HttpClientOptions options_;
  Protocol protocol_ = Protocol::kHttp2;
  std::shared_ptr<ConnectionPool> pool_;  // of requests that begin; null before the first one
  bool stopped_ = false;
  // The exchanges whose last connection has this local port.
  std::unordered_map<int, std::unordered_set<const CurlExchange*>> by_port_;
  std::unordered_map<CurlExchange*, std::unique_ptr<CurlExchange>> running_;
  std::vector<std::unique_ptr<CurlExchange>> idle_;
};

}  // namespace tokend::loop
