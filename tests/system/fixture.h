#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "tests/fakes/fake_applivery.h"
#include "tests/system/raw_client.h"
#include "tests/system/tokend_process.h"

namespace tokend::system {

inline constexpr char kRequestId[] = "018f3b2a-0000-7000-8000-0123456789ab";

// Starts the real daemon. It calls fake-applivery over TLS and serves on a unix socket.
class SystemTest : public testing::Test {
 protected:
  Tokend& Start(Tokend::Options options = {}, fakes::FakeAppliveryOptions applivery = {}) {
    applivery.api_keys = {options.key};
    applivery_ = std::make_unique<fakes::FakeApplivery>(applivery);
    options.base_url = applivery_->base_url();
    if (applivery.transport == fakes::Transport::kTls) {
      WriteFile(folder_ / "upstream-ca.crt", applivery_->ca_pem());
      options.ca_file = folder_ / "upstream-ca.crt";
    } else {
      options.upstream += "    allow_http: true\n";
    }
    tokend_ = std::make_unique<Tokend>(folder_, options);
    client_ = std::make_unique<RawClient>(tokend_->address());
    return *tokend_;
  }

  // Stops the daemon by SIGTERM and returns its exit code. Closes the client first, because the daemon waits
  // for open connections.
  std::optional<int> Stop() {
    client_.reset();
    tokend_->process().Signal(SIGTERM);
    return tokend_->process().Wait();
  }

  Answered Create(const std::string& application, const std::string& request_id = "") {
    return client_->Create(RequestFor(application, request_id));
  }

  // The newest record of this event.
  std::string LastRecord(const std::string& event) const {
    std::string last;
    for (const std::string& line : Lines(tokend_->audit())) {
      if (Field(line, "event") == event) last = line;
    }
    return last;
  }

  fakes::TemporaryFolder folder_;
  std::unique_ptr<fakes::FakeApplivery> applivery_;
  std::unique_ptr<Tokend> tokend_;
  std::unique_ptr<RawClient> client_;
};

}  // namespace tokend::system
