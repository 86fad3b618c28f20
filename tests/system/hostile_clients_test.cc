// Attacks the real daemon with hostile clients while honest clients call it; each runs as its own process.
// During an attack, the daemon keeps running, at most one in twenty honest calls fails, and the daemon's
// memory stays below a bound. At most two seconds after the attack, the daemon serves as before and has given
// the memory back.
#include <gmock/gmock.h>
#include <simdjson.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/fakes/test_authority.h"
#include "tests/system/fixture.h"

namespace tokend::system {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMemoryMeans = false;  // a sanitizer keeps freed memory
constexpr seconds kWellAfter{6};      // and makes everything several times slower
#else
constexpr bool kMemoryMeans = true;
constexpr seconds kWellAfter{2};
#endif

constexpr std::int64_t kMaxAboveKiB = 60 * 1024;
constexpr std::int64_t kMaxLeftKiB = 10 * 1024;
constexpr int kMaxLostPercent = 5;

// How long each attack lasts.
double AttackSeconds() { return std::getenv("TOKEND_LONG_TESTS") != nullptr ? 10 : 2; }

struct Honest {
  std::int64_t served = 0;
  std::int64_t lost = 0;
};

class HostileClients : public SystemTest,
                       public testing::WithParamInterface<std::tuple<const char*, const char*>> {
 protected:
  static std::string attack() { return std::get<0>(GetParam()); }
  // The listener under attack.
  static std::string attacked() { return std::get<1>(GetParam()); }

  void SetUp() override {
    WriteFile(folder_ / "ca.crt", authority_.certificate());
    for (const auto& [name, names] : {std::pair<std::string, std::string>{"server", "DNS:localhost"},
                                      {"client", "URI:spiffe://test.example/ci"}}) {
      const fakes::Identity identity = authority_.Issue(names);
      WriteFile(folder_ / (name + ".crt"), identity.certificate);
      WriteFile(folder_ / (name + ".key"), identity.private_key);
    }
    Tokend::Options options;
    options.listeners = "  - name: local\n    address: unix://" + (folder_ / "tokend.sock") +
                        "\n    authentication: {none: {caller: ci}}\n"
                        "  - name: tls\n    address: 127.0.0.1:0\n    tls: {certificate_file: " +
                        (folder_ / "server.crt") + ", private_key_file: " + (folder_ / "server.key") +
                        ", client_ca_file: " + (folder_ / "ca.crt") + "}\n    authentication: {mtls: {}}\n";
    // The answer of GetCaller has about 60 KB with this grant, until the caller has spent its checks.
    options.grant =
        "    - name: many\n      callers: [ci, \"spiffe://test.example/ci\"]\n      scopes: [sdk]\n      "
        "applications: [";
    for (int i = 0; i < 1000; ++i) {
      options.grant += (i > 0 ? ", " : "") +
                       ("an-application-with-a-name-that-is-rather-long-for-one-" + std::to_string(i));
    }
    options.grant += "]\n";
    if (attack() == "silent") options.descriptors = 1024;
    Start(options);
  }

  std::vector<std::string> AttackCommand() const {
    std::ostringstream length;
    length << AttackSeconds();
    std::vector<std::string> command = {Program("hostile-client"), attack(), tokend_->address(attacked()),
                                        length.str()};
    if (attacked() == "tls") command.insert(command.end(), {folder_ / "client.crt", folder_ / "client.key"});
    return command;
  }

  // Starts an honest client. It makes calls all the time, each with a deadline of two seconds.
  std::unique_ptr<Process> StartHonest(const std::string& listener, double length) {
    const std::string name = "honest-" + listener + std::to_string(++clients_);
    std::string plan = "{\"address\":\"" + tokend_->address(listener) + "\",\"jobs\":[{\"method\":" +
                       "\"/tokend.v1.TokenService/GetCaller\",\"seconds\":" + std::to_string(length) +
                       ",\"parallel\":2,\"pause_ms\":5,\"timeout_ms\":2000}]";
    if (listener == "tls") {
      plan += ",\"ca\":\"" + (folder_ / "ca.crt") + "\",\"cert\":\"" + (folder_ / "client.crt") +
              "\",\"key\":\"" + (folder_ / "client.key") + "\"";
    }
    WriteFile(folder_ / name, plan + "}");
    return std::make_unique<Process>(std::vector<std::string>{Program("interop-client"), folder_ / name},
                                     std::map<std::string, std::string>{}, folder_ / (name + ".out"),
                                     folder_ / (name + ".err"));
  }

  static Honest Finish(Process& process) {
    Honest honest;
    EXPECT_EQ(process.Wait(seconds(60)), 0) << process.err();
    simdjson::dom::parser parser;
    const std::string text = process.out();
    simdjson::dom::element report;
    if (parser.parse(text).get(report) != simdjson::SUCCESS) return honest;
    const simdjson::dom::object codes = report["jobs"].at(0)["codes"].get_object();
    for (const auto& [code, count] : codes) {
      // RESOURCE_EXHAUSTED (8): the daemon serves the client, whose caller has spent its checks.
      const bool served = code == "0" || code == "8";
      (served ? honest.served : honest.lost) += count.get_int64().value();
    }
    return honest;
  }

  std::int64_t ResidentKiB() const {
    std::ifstream status("/proc/" + std::to_string(tokend_->process().pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
    }
    return -1;
  }

  const fakes::TestAuthority authority_;
  int clients_ = 0;
};

TEST_P(HostileClients, DoNotDisturbHonestClients) {
  Finish(*StartHonest("local", 0.3));
  Finish(*StartHonest("tls", 0.3));
  const std::int64_t before = ResidentKiB();

  const auto beside = StartHonest(attacked(), AttackSeconds());
  const auto elsewhere = StartHonest(attacked() == "tls" ? "local" : "tls", AttackSeconds());
  Process attacker(AttackCommand(), {}, folder_ / "attack.out", folder_ / "attack.err");
  std::int64_t peak = before;
  while (attacker.running()) {
    peak = std::max(peak, ResidentKiB());
    const timespec breath{0, 20'000'000};
    nanosleep(&breath, nullptr);
  }
  EXPECT_EQ(attacker.Wait(), 0) << attacker.err();
  ASSERT_TRUE(tokend_->process().running()) << tokend_->log().substr(0, 2000);

  EXPECT_EQ(RunProgram({Program("tokenctl"), "--address", tokend_->address("local"), "--timeout",
                        std::to_string(kWellAfter.count()) + "s", "whoami"})
                .exit,
            0);
  for (Process* client : {beside.get(), elsewhere.get()}) {
    const Honest honest = Finish(*client);
    EXPECT_GT(honest.served, 0);
    EXPECT_LE(honest.lost * 100, (honest.served + honest.lost) * kMaxLostPercent)
        << honest.served << " served";
  }
  const bool given_back =
      !kMemoryMeans || Eventually([&] { return ResidentKiB() <= before + kMaxLeftKiB; }, seconds(10));
  EXPECT_TRUE(given_back) << before << " KiB before, " << peak << " at most, " << ResidentKiB() << " left";
  if (kMemoryMeans) {
    EXPECT_LE(peak, before + kMaxAboveKiB);
  }
  std::cout << attack() << " on " << attacked() << ": " << attacker.out() << "resident KiB: " << before
            << " before, " << peak << " at most, " << ResidentKiB() << " left\n"
            << [&] {
                 std::string closed;
                 std::istringstream metrics(tokend_->Get("/metrics"));
                 for (std::string line; std::getline(metrics, line);) {
                   if (line.starts_with("tokend_connections_closed_total")) closed += line + "\n";
                 }
                 return closed;
               }();
  EXPECT_EQ(Stop(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    By, HostileClients,
    testing::Combine(testing::Values("special-headers", "bad-binary", "header-flood", "header-flood-empty",
                                     "header-varint", "giant-string", "hpack-bomb", "reset-create",
                                     "reset-check", "reset-caller", "reset-unknown", "made-reset-header",
                                     "made-reset-window", "compression-bomb", "zero-window", "unread-answers",
                                     "half-messages", "watches", "calls", "silent", "handshakes", "ping",
                                     "settings", "priority", "window-update", "empty-data", "padded-data",
                                     "ignored-data", "unknown-frame"),
                     testing::Values("local", "tls")),
    [](const auto& by) {
      std::string name = std::string(std::get<0>(by.param)) + "_" + std::get<1>(by.param);
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace tokend::system
