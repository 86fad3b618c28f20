#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/loop/name_lookup.h"
#include "daemon/upstream/central_addresses.h"
#include "daemon/upstream/central_calls.h"
#include "daemon/upstream/central_credentials.h"

namespace tokend::upstream {

// Calls by the loop's libcurl. The addresses of the configured host take turns, and each has connections of
// its own. If no connection to an address can be made, the call goes on to the next address, and later calls
// prefer the other addresses for 5 s. While calls are made, changed files of the credentials are looked
// for once a second. A reload may call RereadCredentials, after ReadCentralCredentials has judged the files.
//
// The constructor may run on the loop thread or before the loop starts, the destructor on the loop thread or
// after the loop has stopped. The loop outlives this. Stop must be called before the destructor.
class CurlCentralCalls final : public CentralCalls {
 public:
  // `names`: null: the system looks names up.
  CurlCentralCalls(const config::TokendUpstream& options, CentralCredentials credentials,
                   loop::CurlLoop& loop, std::unique_ptr<loop::NameLookup> names = nullptr);
  ~CurlCentralCalls() override;
  CurlCentralCalls(const CurlCentralCalls&) = delete;
  CurlCentralCalls& operator=(const CurlCentralCalls&) = delete;

  void Call(CentralCall call, Done done) override;
  std::size_t replicas() const override { return endpoints_.size(); }
  void RereadCredentials() override { files_.Reread(); }
  std::size_t credentials_generation() const override { return files_.generation(); }
  void WipeCopies(std::string_view secret) override;
  void Stop() override;

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Endpoint;
  struct Attempt;
  using Endpoints = std::vector<std::shared_ptr<Endpoint>>;

  void OnAddresses(const std::vector<std::string>& addresses);
  std::shared_ptr<Endpoint> MakeEndpoint(const std::string& address);
  loop::HttpClientOptions HttpOptions(const std::string& address);
  // The next address for a call. Null: the call has tried all of them.
  std::shared_ptr<Endpoint> Choose(const Attempt& attempt);
  std::chrono::milliseconds TimeoutOf(const Attempt& attempt) const;
  void Send(std::shared_ptr<Attempt> attempt, const std::shared_ptr<Endpoint>& endpoint);
  void OnAnswer(std::shared_ptr<Attempt> attempt, const std::shared_ptr<Endpoint>& endpoint,
                loop::HttpAnswer answer);
  std::shared_ptr<const loop::HeaderList> Headers(const CentralCall& call) const;
  void Decline(Done done, std::string_view why);

  const config::TokendUpstream options_;
  const std::string name_;  // what errors call the centre: its host and port
  const std::string url_;
  loop::CurlLoop& loop_;
  CentralCredentialFiles files_;
  std::optional<CentralAddresses> addresses_;     // nothing: the address is no host name
  std::deque<std::shared_ptr<Attempt>> waiting_;  // calls that wait for the first addresses
  std::size_t last_replica_ = 0;
  std::size_t next_ = 0;  // the endpoint whose turn it is
  bool stopped_ = false;
  Endpoints endpoints_;
  Endpoints retired_;  // the name no longer has their addresses, but calls still run there
};

}  // namespace tokend::upstream
