#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "daemon/audit/open.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/temporary_folder.h"

// Measures how many records per second the audit log makes durable on the disk of TMPDIR while a number of
// calls wait for their records, compared with a log that syncs each record separately.
namespace tokend::audit {
namespace {

Record RecordOfAToken() {
  Record record;
  record.set_event(event::kTokenReplayed);
  record.set_request_id("6f1c2f5e-6a0b-4f5e-9f57-0d1a0f0b3c11");
  record.mutable_caller()->set_name("spiffe://prod.example/ns/shop/sa/checkout");
  record.mutable_caller()->set_authentication("mtls");
  record.mutable_caller()->set_listener("cluster");
  record.mutable_target()->set_organization("acme");
  record.mutable_target()->set_application("ios-app");
  record.mutable_target()->add_scopes("sdk");
  record.set_grant("mobile-ci");
  return record;
}

void AuditLogWithCallsWaiting(benchmark::State& state) {
  const fakes::TemporaryFolder folder;
  fakes::HandCrankedLoop loop;
  config::Audit config;
  config.file = config::AuditFile{.path = folder / "audit.jsonl", .max_size = 256U << 20U, .keep = 30};
  config.deadline = std::chrono::seconds(2);
  OpenOptions options;
  options.config = "0123456789abcdef";
  Keys keys{std::make_shared<const Fingerprinter>(Fingerprinter::WithNewKey()), nullptr};
  Result<Opened> opened = OpenAuditLog(config, std::move(keys), std::move(options), loop);
  if (!opened.ok()) return state.SkipWithError("the log cannot be opened");
  const Record record = RecordOfAToken();
  std::uint64_t durable = 0;
  std::uint64_t failed = 0;
  const std::function<void()> call = [&] {
    opened->log->Append(record,
                        [&](const Result<std::uint64_t>& sequence) { ++(sequence.ok() ? durable : failed); });
  };
  std::uint64_t asked = 0;
  const auto waiting = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    while (asked - durable - failed < waiting) {
      call();
      ++asked;
    }
    const std::uint64_t before = durable + failed;
    loop.RunUntil([&] { return durable + failed > before; });
  }
  loop.RunUntil([&] { return durable + failed == asked; });
  if (failed > 0) state.SkipWithError("a record is not durable");
  state.counters["records/s"] = benchmark::Counter(static_cast<double>(durable), benchmark::Counter::kIsRate);
  opened->log->Stop();
}
BENCHMARK(AuditLogWithCallsWaiting)->Arg(1)->Arg(16)->Arg(64)->Arg(256)->UseRealTime();

void OneSyncARecord(benchmark::State& state) {
  const fakes::TemporaryFolder folder;
  const int file = open((folder / "audit.jsonl").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const loop::Clock& clock = loop::SystemClock();
  Chain chain({}, "0123456789abcdef", clock);
  const Record record = RecordOfAToken();
  std::uint64_t durable = 0;
  for (auto _ : state) {
    Record next = record;
    const std::string line = chain.Add(next) + "\n";
    if (write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size()) || fdatasync(file) != 0) {
      state.SkipWithError("the disk fails");
    }
    ++durable;
  }
  close(file);
  state.counters["records/s"] = benchmark::Counter(static_cast<double>(durable), benchmark::Counter::kIsRate);
}
BENCHMARK(OneSyncARecord)->UseRealTime();

}  // namespace
}  // namespace tokend::audit
