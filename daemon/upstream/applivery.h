#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/loop/event_loop.h"
#include "daemon/loop/http_client.h"
#include "daemon/upstream/api_key.h"
#include "daemon/upstream/upstream.h"

namespace tokend::upstream {

// Options of the HTTP client, from the configuration.
loop::HttpClientOptions HttpOptions(const config::Applivery& options);

// Applivery's own API: each Mint is one POST of "Add new token". Holds the API keys. Any thread may construct
// it; all else is for the loop thread only. Stop must be called before it is destroyed.
class AppliveryUpstream final : public Upstream {
 public:
  AppliveryUpstream(const config::Applivery& options, const KeyRing& keys, loop::EventLoop& loop,
                    std::unique_ptr<loop::HttpClient> client, OnAnswer on_answer);

  void Mint(IntentReceipt receipt, const MintRequest& request, Done done) override;
  std::shared_ptr<const void> Hold(const std::string& organization) override;
  void UseKeys(const KeyRing& keys) override;
  void Stop() override;

 private:
  struct Organization {
    std::shared_ptr<const ApiKey> key;
    std::shared_ptr<const loop::HeaderList> headers;
    std::uint64_t key_generation;
  };

  std::shared_ptr<const Organization> Find(const std::string& name) const;

  std::string base_url_;
  std::vector<std::shared_ptr<Organization>> configured_;
  std::map<std::string, std::weak_ptr<Organization>> organizations_;  // also removed ones that are still held
  loop::EventLoop& loop_;
  OnAnswer on_answer_;
  std::unique_ptr<loop::HttpClient> client_;  // last: its requests that still run use the members above
};

}  // namespace tokend::upstream
