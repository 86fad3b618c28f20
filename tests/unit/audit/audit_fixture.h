#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/audit/open.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/unit/audit/fake_disk.h"
#include "tests/unit/audit/log_check.h"

namespace tokend::audit {

inline Record IntentOf(const std::string& request_id) {
  Record record;
  record.set_request_id(request_id);
  record.set_grant("mobile-ci");
  record.set_digest("1:of " + request_id);
  record.set_trace("0af7651916cd43dd8448eb211c80319c");
  record.mutable_caller()->set_name("dev");
  record.mutable_caller()->set_authentication("mtls");
  record.mutable_caller()->set_listener("pod");
  record.mutable_caller()->set_peer("ipv4:10.0.0.7:4711");
  record.mutable_caller()->set_on_behalf_of("ci");
  record.mutable_target()->set_organization("acme");
  record.mutable_target()->set_application("ios-app");
  record.mutable_target()->add_scopes("sdk");
  record.mutable_target()->set_description("for \"" + request_id + "\"");
  return record;
}

inline Record EventOf(std::string_view event) {
  Record record;
  record.set_event(std::string(event));
  return record;
}

inline Token TokenOf(const std::string& bearer) {
  return Token{"5f0c1a2b3c4d5e6f7a8b9c0d", "", "", "", {"sdk"}, Bearer(bearer)};
}

// A log on a fake disk. The test's thread runs the loop.
class AuditFixture : public testing::Test {
 protected:
  AuditFixture() {
    file_.path = "/var/log/tokend/audit.jsonl";
    options_.config = "0123456789abcdef";
    options_.remember = std::chrono::minutes(10);
    options_.timing.aggregation_window = std::chrono::milliseconds(1);
    options_.timing.retry = std::chrono::milliseconds(1);
    options_.timing.stall =
        std::chrono::hours(1);  // so that a slow machine does not look like a device that hangs
  }

  Status TryOpen() {
    Result<Opened> opened = OpenFileLog(
        disk_.Mount(), file_, nullptr,
        Keys{std::make_shared<const Fingerprinter>(Fingerprinter::WithNewKey()), nullptr}, options_, loop_);
    if (!opened.ok()) return opened.status();
    log_ = std::move(opened->log);
    past_ = std::move(opened->past);
    ended_ = std::move(opened->ended);
    ahead_ = opened->ahead;
    gap_ = std::move(opened->gap);
    return absl::OkStatus();
  }
  void Open() {
    const Status opened = TryOpen();
    ASSERT_TRUE(opened.ok()) << opened;
  }
  void Close() {
    log_.reset();
    loop_.RunPending();
  }
  // Ends the process as kill -9 does: nothing that the log does from here on reaches the disk.
  void Kill(std::mt19937_64& random) {
    disk_.Kill();
    log_.reset();
    loop_.RunPending();
    disk_.Crash(random);
  }

  // Runs the loop until the answer comes.
  template <class T, class Call>
  Result<T> Wait(Call call) {
    std::optional<Result<T>> answer;
    call([&answer](Result<T> result) { answer.emplace(std::move(result)); });
    EXPECT_FALSE(answer) << "answered from within the call";
    if (!loop_.RunUntil([&answer] { return answer.has_value(); })) return absl::UnknownError("no answer");
    return *std::move(answer);
  }
  Result<std::uint64_t> Append(Record record) {
    return Wait<std::uint64_t>([&](auto done) { log_->Append(std::move(record), std::move(done)); });
  }
  // `resolves`: the first intent of a request_id that is asked again.
  Result<IntentReceipt> Intend(const std::string& request_id, std::uint64_t resolves = 0) {
    Record record = IntentOf(request_id);
    record.set_resolves(resolves);
    return Wait<IntentReceipt>([&](auto done) { log_->AppendIntent(std::move(record), std::move(done)); });
  }
  Result<std::uint64_t> End(IntentReceipt intent, const std::string& request_id, const char* event,
                            std::uint64_t resolves = 0) {
    Record record = IntentOf(request_id);
    record.set_event(event);
    record.set_resolves(resolves);
    return Wait<std::uint64_t>(
        [&](auto done) { log_->AppendEnd(std::move(intent), std::move(record), nullptr, std::move(done)); });
  }
  // Appends records until one of them becomes durable.
  Status AppendUntilWritable() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (true) {
      Status status = Append(EventOf("config.reloaded")).status();
      if (status.ok() || std::chrono::steady_clock::now() > deadline) return status;
    }
  }

  std::vector<CheckedLine> Log() { return ReadLog(disk_.Files()); }
  std::vector<std::string> LogEvents() { return Events(Log()); }

  fakes::HandCrankedLoop loop_;
  FakeDisk disk_;
  config::AuditFile file_{.path = "", .max_size = 256U << 20U, .keep = 30};
  OpenOptions options_;
  std::unique_ptr<QueuedAuditLog> log_;
  PastRequests past_;
  PastRequests ended_;  // by the last start
  std::chrono::microseconds ahead_{0};
  std::optional<Gap> gap_;
};

}  // namespace tokend::audit
