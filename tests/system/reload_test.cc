#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/test_authority.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Keeps `in_flight` calls running until it is destroyed.
class SteadyCallers {
 public:
  using Connect = std::function<std::unique_ptr<RawClient>()>;

  SteadyCallers(int in_flight, const Connect& connect) {
    for (int i = 0; i < in_flight; ++i) {
      threads_.emplace_back([this, client = std::shared_ptr<RawClient>(connect())] {
        // Under load a connection may come about only at the second attempt.
        EXPECT_TRUE(Eventually([&] { return client->Create(RequestFor("ios-app")).code == kOk; }));
        while (!stop_) Call(*client);
      });
    }
  }
  ~SteadyCallers() { Stop(); }
  SteadyCallers(const SteadyCallers&) = delete;
  SteadyCallers& operator=(const SteadyCallers&) = delete;

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  int done() const { return done_; }
  // Why calls failed. Call this after Stop().
  const std::multiset<std::string>& failures() const { return failures_; }

 private:
  void Call(const RawClient& client) {
    const Answered answered = client.Create(RequestFor("ios-app"));
    if (answered.code == kOk) {
      ++done_;
      return;
    }
    const std::lock_guard lock(mutex_);
    failures_.insert(answered.reason + ": " + answered.message);
  }

  std::atomic<bool> stop_ = false;
  std::atomic<int> done_ = 0;
  std::mutex mutex_;
  std::multiset<std::string> failures_;
  std::vector<std::thread> threads_;
};

class Reload : public SystemTest {
 protected:
  // Replaces a file by a rename, so that no reader sees half of it.
  void Replace(const std::string& name, const std::string& text) const {
    WriteFile(folder_ / (name + ".new"), text);
    std::filesystem::rename(folder_ / (name + ".new"), folder_ / name);
  }

  void Edit(const std::string& find, const std::string& replace) {
    std::string text = ReadFile(tokend_->config_file());
    const std::size_t at = text.find(find);
    ASSERT_NE(at, std::string::npos) << find;
    text.replace(at, find.size(), replace);
    Replace("tokend.yaml", text);
  }

  // The number of records of this event.
  std::size_t Count(const std::string& event) const {
    std::size_t count = 0;
    for (const std::string& of : tokend_->events()) count += of == event ? 1 : 0;
    return count;
  }

  bool WaitForRecords(const std::string& event, std::size_t count) const {
    return Eventually([&] { return Count(event) >= count; });
  }
};

TEST_F(Reload, SighupPutsAnotherPolicyInPlace) {
  Start();
  EXPECT_EQ(Create("ios-app").code, kOk);
  Edit("applications: [\"*\"]", "applications: [android-app]");
  tokend_->process().Signal(SIGHUP);
  ASSERT_TRUE(WaitForRecords("config.reloaded", 1));
  EXPECT_EQ(Create("ios-app").code, kPermissionDenied);
  EXPECT_EQ(Create("android-app").code, kOk);
  EXPECT_NE(Field(LastRecord("token.issued"), "config"), Field(LastRecord("daemon.started"), "config"));
}

TEST_F(Reload, EachConfigurationThatARecordNamesIsKeptBesideTheLog) {
  Start();
  const std::string first = Field(LastRecord("daemon.started"), "config");
  Edit("applications: [\"*\"]", "applications: [android-app]");
  tokend_->process().Signal(SIGHUP);
  ASSERT_TRUE(WaitForRecords("config.reloaded", 1));
  const std::string reloaded = LastRecord("config.reloaded");
  EXPECT_EQ(Field(reloaded, "detail"), "from " + first);
  const auto kept = [this](const std::string& config) {
    return ReadFile(folder_ / ("config-" + config + ".yaml"));
  };
  EXPECT_THAT(kept(first), HasSubstr("applications: [\"*\"]"));
  const Ended printed =
      RunProgram({Program("tokend"), "check", "--config", tokend_->config_file(), "--print"});
  EXPECT_EQ(kept(Field(reloaded, "config")), printed.out);
}

TEST_F(Reload, AConfigurationThatIsWrittenIsReadWithoutASignal) {
  Start();
  Edit("applications: [\"*\"]", "applications: [android-app]");
  ASSERT_TRUE(WaitForRecords("config.reloaded", 1));
  EXPECT_EQ(Create("ios-app").code, kPermissionDenied);
}

TEST_F(Reload, ABadConfigurationIsRejectedAndTheLastGoodOneServesOn) {
  Start();
  Edit("policy:", "polizy:");
  ASSERT_TRUE(WaitForRecords("config.rejected", 1));
  EXPECT_THAT(LastRecord("config.rejected"),
              HasSubstr("unknown key \\\"polizy\\\"; did you mean \\\"policy\\\"?"));
  EXPECT_EQ(Create("ios-app").code, kOk);
  EXPECT_THAT(tokend_->Get("/status.json"),
              AllOf(HasSubstr("\"in_effect\":false,\"errors\":"),
                    ContainsRegex("\"first_error\":\"[^\"]*tokend.yaml:[0-9]+:[0-9]+: ")));
  EXPECT_THAT(tokend_->Get("/metrics"), HasSubstr("tokend_config_last_reload_successful 0"));
  EXPECT_THAT(tokend_->Get("/readyz"), HasSubstr("200 OK"));

  Edit("polizy:", "policy:");
  EXPECT_TRUE(Eventually([&] {
    return tokend_->Get("/metrics").find("tokend_config_last_reload_successful 1") != std::string::npos;
  }));
  EXPECT_THAT(tokend_->Get("/status.json"),
              HasSubstr("\"in_effect\":true,\"errors\":0,\"first_error\":\"\""));
  EXPECT_EQ(Count("config.rejected"), 1U);
}

TEST_F(Reload, WhatCannotChangeWhileItRunsIsNamedAndNothingElseOfTheFileTakesEffect) {
  Start();
  Edit("applications: [\"*\"]", "applications: [android-app]");
  Edit("audit.jsonl", "other.jsonl");
  ASSERT_TRUE(WaitForRecords("config.rejected", 1));
  EXPECT_THAT(LastRecord("config.rejected"), HasSubstr("audit.file: cannot change while the daemon runs"));
  EXPECT_EQ(Create("ios-app").code, kOk);
}

TEST_F(Reload, AnInvalidApiKeyIsRejectedAndTheLastGoodOneServesOn) {
  Start();
  Replace("api-key", "two words\n");
  ASSERT_TRUE(WaitForRecords("key.rejected", 1));
  EXPECT_THAT(LastRecord("key.rejected"), HasSubstr("organization acme: "));
  EXPECT_THAT(LastRecord("key.rejected"), Not(HasSubstr("two words")));
  EXPECT_EQ(Create("ios-app").code, kOk);
}

TEST_F(Reload, AKeyFileThatComesLaterIsTakenUpWhenItIsThere) {
  Start();
  Edit("api-key}", "later-key}");
  ASSERT_TRUE(WaitForRecords("config.rejected", 1));
  WriteFile(folder_ / "later-key", "fake-api-key\n");
  EXPECT_TRUE(WaitForRecords("config.reloaded", 1));
  EXPECT_EQ(Create("ios-app").code, kOk);
}

TEST_F(Reload, KubernetesSwapOfAMountedSecretIsSeen) {
  namespace fs = std::filesystem;
  const std::string mount = folder_ / "secret";
  fs::create_directories(mount + "/..1");
  fs::create_directories(mount + "/..2");
  WriteFile(mount + "/..1/key", "fake-api-key\n");
  WriteFile(mount + "/..2/key", "second-key\n");
  fs::create_symlink("..1", mount + "/..data");
  fs::create_symlink("..data/key", mount + "/key");
  Tokend::Options options;
  options.api_key = "{file: " + mount + "/key}";
  Start(options);
  applivery_->SetApiKeys({"fake-api-key", "second-key"});
  EXPECT_EQ(Create("ios-app").code, kOk);

  fs::create_symlink("..2", mount + "/..data_tmp");
  fs::rename(mount + "/..data_tmp", mount + "/..data");
  fs::remove_all(mount + "/..1");
  ASSERT_TRUE(WaitForRecords("key.reloaded", 1));
  EXPECT_THAT(LastRecord("key.reloaded"), HasSubstr("\"key_generation\":2"));
  EXPECT_EQ(Create("ios-app").code, kOk);
  EXPECT_THAT(LastRecord("token.issued"), HasSubstr("\"key_generation\":2"));
  EXPECT_EQ(applivery_->posts().back().api_key, 1U);
}

TEST_F(Reload, KeysSwitchUnderLoadWithoutOneFailedCall) {
  fakes::FakeAppliveryOptions slow;
  slow.delay = std::chrono::milliseconds(20);
  Start({}, slow);
  applivery_->SetApiKeys({"fake-api-key", "second-key"});
  SteadyCallers callers(16, [this] { return std::make_unique<RawClient>(tokend_->address()); });
  ASSERT_TRUE(Eventually([&] { return callers.done() >= 50; }));
  Replace("api-key", "second-key\n");
  ASSERT_TRUE(WaitForRecords("key.reloaded", 1));
  const int before = callers.done();
  ASSERT_TRUE(Eventually([&] { return callers.done() >= before + 100; }));
  applivery_->SetApiKeys({"other", "second-key"});
  const int after = callers.done();
  ASSERT_TRUE(Eventually([&] { return callers.done() >= after + 50; }));
  callers.Stop();
  EXPECT_THAT(callers.failures(), IsEmpty());
}

TEST_F(Reload, ACallThatWaitsGoesOnWhereItsOrganizationIsRemoved) {
  Tokend::Options options;
  options.organization = "        limits: [{name: upstream, tokens: 1, per: 2s}]\n";
  Start(options);
  EXPECT_EQ(Create("ios-app").code, kOk);
  Answered waiting;
  std::thread caller([&] { waiting = Create("ios-app"); });
  EXPECT_TRUE(Eventually([&] {
    return tokend_->Get("/metrics").find("tokend_turn_queue_length{organization=\"acme\"} 1") !=
           std::string::npos;
  }));
  Edit("name: acme", "name: other");
  EXPECT_TRUE(WaitForRecords("config.reloaded", 1));
  caller.join();
  EXPECT_EQ(waiting.code, kOk) << waiting.reason << ": " << waiting.message;
  EXPECT_EQ(Create("ios-app").code, kPermissionDenied);
}

// A listener with mutual TLS. A test replaces its files.
class ReloadTls : public Reload {
 protected:
  void StartTls(const fakes::FakeAppliveryOptions& applivery = {}) {
    WriteServer(authority_.Issue("DNS:localhost,IP:127.0.0.1"));
    WriteFile(folder_ / "ca.crt", authority_.certificate());
    Tokend::Options options;
    options.listeners =
        "  - name: local\n    address: 127.0.0.1:0\n    tls: {certificate_file: " + (folder_ / "tls.crt") +
        ", private_key_file: " + (folder_ / "tls.key") + ", client_ca_file: " + (folder_ / "ca.crt") +
        "}\n    authentication: {mtls: {}}\n    max_connections_per_peer: 1024\n";
    // A long deadline, so that no call fails because of the load that a thousand reloads make.
    options.audit += ", deadline: 1m";
    options.more = "requests: {max_entries: 10000000}\n";
    Start(options, applivery);
  }

  void WriteServer(const fakes::Identity& server) const {
    Replace("tls.crt", server.certificate);
    Replace("tls.key", server.private_key);
  }

  std::unique_ptr<RawClient> Connect() const {
    const fakes::Identity caller = authority_.Issue("URI:spiffe://test.example/ns/ci/sa/builder");
    return std::make_unique<RawClient>(
        tokend_->address(), TlsFiles{authority_.certificate(), caller.certificate, caller.private_key});
  }

  // The number of reloads, including the first load at the start.
  int Reloads() const {
    const std::string metric = "tokend_config_reloads_total{result=\"done\"} ";
    const std::string page = tokend_->Get("/metrics");
    const std::size_t at = page.find(metric);
    return at == std::string::npos ? -1 : std::stoi(page.substr(at + metric.size()));
  }

  const fakes::TestAuthority authority_;
};

TEST_F(ReloadTls, ACertificateIsTakenUpWithItsKeyAndNeverWithAnother) {
  StartTls();
  const fakes::Identity next = authority_.Issue("DNS:localhost,IP:127.0.0.1");
  Replace("tls.crt", next.certificate);
  ASSERT_TRUE(WaitForRecords("key.rejected", 1));
  EXPECT_THAT(LastRecord("key.rejected"), HasSubstr("is not the private key of"));
  EXPECT_EQ(Connect()->Create(RequestFor("ios-app")).code, kOk);
  Replace("tls.key", next.private_key);
  ASSERT_TRUE(WaitForRecords("key.reloaded", 1));
  EXPECT_THAT(LastRecord("key.reloaded"), HasSubstr("listener local: certificate, key or CA"));
  EXPECT_EQ(Connect()->Create(RequestFor("ios-app")).code, kOk);
}

TEST_F(ReloadTls, AnExpiredCertificateIsLeftOutOfAReloadAndTheRestOfItCounts) {
  StartTls();
  WriteServer(authority_.Issue("DNS:localhost,IP:127.0.0.1", std::chrono::seconds(-60)));
  Edit("applications: [\"*\"]", "applications: [android-app]");
  EXPECT_TRUE(Eventually(
      [&] { return LastRecord("key.rejected").find("tls.crt has expired at 20") != std::string::npos; }));
  ASSERT_TRUE(WaitForRecords("config.reloaded", 1));
  EXPECT_EQ(Connect()->Create(RequestFor("ios-app")).code, kPermissionDenied);
  EXPECT_EQ(Connect()->Create(RequestFor("android-app")).code, kOk);
  EXPECT_EQ(Count("key.reloaded"), 0U);
  EXPECT_THAT(tokend_->Get("/metrics"), HasSubstr("tokend_config_last_reload_successful 0"));
  WriteServer(authority_.Issue("DNS:localhost,IP:127.0.0.1"));
  ASSERT_TRUE(WaitForRecords("key.reloaded", 1));
  EXPECT_THAT(tokend_->Get("/metrics"), HasSubstr("tokend_config_last_reload_successful 1"));
}

// Replaces policy, API key and certificate in turn, with 100 calls in flight all the time.
TEST_F(ReloadTls, NoCallFailsForAReload) {
  const int reloads = std::getenv("TOKEND_LONG_TESTS") != nullptr ? 1000 : 21;
  fakes::FakeAppliveryOptions slow;
  slow.delay = std::chrono::milliseconds(20);
  StartTls(slow);
  applivery_->SetApiKeys({"fake-api-key", "second-key"});
  SteadyCallers callers(100, [this] { return Connect(); });
  ASSERT_TRUE(Eventually([&] { return callers.done() >= 100; }));
  for (int i = 0; i < reloads; ++i) {
    const int before = Reloads();
    const bool even = i % 2 == 0;
    if (i % 3 == 0) Edit(even ? "[sdk, beta]" : "[sdk, gamma]", even ? "[sdk, gamma]" : "[sdk, beta]");
    if (i % 3 == 1) Replace("api-key", even ? "fake-api-key\n" : "second-key\n");
    if (i % 3 == 2) WriteServer(authority_.Issue("DNS:localhost,IP:127.0.0.1"));
    tokend_->process().Signal(SIGHUP);
    ASSERT_TRUE(Eventually([&] { return Reloads() > before; })) << i;
    const Answered after_a_handshake = Connect()->Create(RequestFor("ios-app"));
    EXPECT_EQ(after_a_handshake.code, kOk) << i << ": " << after_a_handshake.message;
  }
  callers.Stop();
  EXPECT_THAT(callers.failures(), IsEmpty()) << "besides " << callers.done() << " calls";
  EXPECT_GE(Count("config.reloaded") + Count("key.reloaded"), static_cast<std::size_t>(reloads) / 2);
  EXPECT_EQ(Stop(), 0) << "a sanitizer that has found something ends it otherwise";
}

}  // namespace
}  // namespace tokend::system
