#include "daemon/app/recorded_run.h"

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>

namespace tokend::app {
namespace {

constexpr std::chrono::seconds kStartDeadline{10};

audit::Record RecordOf(const char* event) {
  audit::Record record;
  record.set_event(event);
  return record;
}

}  // namespace

RecordedRun::~RecordedRun() {
  if (running_) (void)Stop();
}

Status RecordedRun::Start() {
  auto durable = std::make_shared<std::promise<Status>>();
  std::future<Status> written = durable->get_future();
  audit_.Append(RecordOf(audit::event::kDaemonStarted),
                [durable](const Result<std::uint64_t>& sequence) { durable->set_value(sequence.status()); });
  if (written.wait_for(kStartDeadline) != std::future_status::ready) {
    return absl::DeadlineExceededError("audit: the record of the daemon's start is not durable in time");
  }
  Status started = written.get();
  running_ = started.ok();
  return started;
}

Status RecordedRun::Stop() {
  running_ = false;
  return audit_.Stop(RecordOf(audit::event::kDaemonStopped));
}

}  // namespace tokend::app
