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

// Calls over the loop's libcurl: to the addresses of the configured host in turn, each with connections of
// its own. An address to which no connection could be made is passed over for a while where there is another
// one, and the call that found out goes on to the next. The files of the credentials are watched here, once a
// second while calls are made; a reload may call RereadCredentials, after ReadCentralCredentials has judged
// the files.
//
// Made on the loop thread or before the loop starts. Destroyed on the loop thread or after the loop has
// stopped, and before the loop. Stop must be called before it is destroyed.
class CurlCentralCalls final : public CentralCalls {
 public:
  // `names`: null for the system's.
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
  // Null: all have been tried.
  std::shared_ptr<Endpoint> Choose(const Attempt& attempt);
  std::chrono::milliseconds TimeoutOf(const Attempt& attempt) const;
  void Send(std::shared_ptr<Attempt> attempt, const std::shared_ptr<Endpoint>& endpoint);
  void OnAnswer(std::shared_ptr<Attempt> attempt, const std::shared_ptr<Endpoint>& endpoint,
                loop::HttpAnswer answer);
  std::shared_ptr<const loop::HeaderList> Headers(const CentralCall& call) const;
  void Decline(Done done, std::string why);

  const config::TokendUpstream options_;
  const std::string name_;  // of the centre, in errors: its host and port
  const std::string url_;
  loop::CurlLoop& loop_;
  CentralCredentialFiles files_;
  std::optional<CentralAddresses> addresses_;     // none: the address is no name
  std::deque<std::shared_ptr<Attempt>> waiting_;  // for the first addresses
  std::size_t last_replica_ = 0;
  std::size_t next_ = 0;  // whose turn it is
  bool stopped_ = false;
  Endpoints endpoints_;
  Endpoints retired_;  // calls run at them, and the name no longer has their addresses
};

}  // namespace tokend::upstream
