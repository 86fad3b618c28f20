#include <grpcpp/create_channel.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <iostream>
#include <latch>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tokend/v1/token_service.grpc.pb.h"

// A gRPC client that keeps a number of CreateToken calls in flight on one channel for a number of seconds.
// Prints one line of JSON. Exits with 1 if a call fails.
namespace {

using Clock = std::chrono::steady_clock;
using tokend::v1::CreateTokenRequest;
using tokend::v1::CreateTokenResponse;
using tokend::v1::TokenService;

constexpr std::chrono::seconds kCallDeadline{10};

struct Flags {
  std::string address;
  std::size_t in_flight = 0;
  int seconds = 0;
};

// A UUID that no other run uses.
std::string RequestId() {
  static const std::uint64_t run = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32U;
  static std::atomic<std::uint64_t> last = 0;
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%08x-%04x-4%03x-8000-%012llx", static_cast<unsigned>(run),
                static_cast<unsigned>(run >> 32U & 0xFFFFU), static_cast<unsigned>(run >> 48U & 0xFFFU),
                static_cast<unsigned long long>(++last));
  return text.data();
}

// The state that all slots share.
struct Run {
  TokenService::Stub& stub;
  Clock::time_point until;
  std::latch running;           // counts the slots that run
  std::atomic<int> failed = 0;  // a grpc::StatusCode
};

// Makes one call after the other.
class Slot {
 public:
  explicit Slot(Run& run) : run_(run) {
    request_.set_organization("acme");
    request_.set_application("ios-app");
    request_.set_description("nightly build");
    request_.add_scopes("sdk");
  }

  void Call() {
    context_.emplace();
    context_->set_deadline(std::chrono::system_clock::now() + kCallDeadline);
    request_.set_request_id(RequestId());
    started_ = Clock::now();
    run_.stub.async()->CreateToken(&*context_, &request_, &response_,
                                   [this](const grpc::Status& status) { OnDone(status); });
  }

  const std::vector<Clock::duration>& latencies() const { return latencies_; }

 private:
  void OnDone(const grpc::Status& status) {
    const Clock::time_point now = Clock::now();
    latencies_.push_back(now - started_);
    if (!status.ok()) run_.failed = status.error_code();
    if (status.ok() && response_.token().bearer().empty()) run_.failed = grpc::StatusCode::DATA_LOSS;
    if (now < run_.until && run_.failed == 0) return Call();
    run_.running.count_down();
  }

  Run& run_;
  std::optional<grpc::ClientContext> context_;
  CreateTokenRequest request_;
  CreateTokenResponse response_;
  Clock::time_point started_;
  std::vector<Clock::duration> latencies_;
};

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

int Measure(const Flags& flags) {
  const auto channel = grpc::CreateChannel(flags.address, grpc::InsecureChannelCredentials());
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + kCallDeadline)) {
    std::cerr << "bench-load: cannot connect" << std::endl;
    return 1;
  }
  const auto stub = TokenService::NewStub(channel);

  const Clock::time_point start = Clock::now();
  Run run{*stub, start + std::chrono::seconds(flags.seconds),
          std::latch(static_cast<std::ptrdiff_t>(flags.in_flight))};
  std::deque<Slot> slots;
  for (std::size_t i = 0; i < flags.in_flight; ++i) slots.emplace_back(run);
  for (Slot& slot : slots) slot.Call();
  run.running.wait();
  const double took_s = Milliseconds(Clock::now() - start) / 1000;
  if (run.failed != 0) {
    std::cerr << "bench-load: a call failed with gRPC status " << run.failed << std::endl;
    return 1;
  }

  std::vector<Clock::duration> latencies;
  for (const Slot& slot : slots) {
    latencies.insert(latencies.end(), slot.latencies().begin(), slot.latencies().end());
  }
  std::sort(latencies.begin(), latencies.end());
  const std::size_t calls = latencies.size();
  std::cout << "{\"calls\":" << calls << ",\"calls_per_s\":" << static_cast<double>(calls) / took_s
            << ",\"p50_ms\":" << Milliseconds(latencies[calls / 2])
            << ",\"p99_ms\":" << Milliseconds(latencies[calls * 99 / 100]) << "}" << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: bench-load ADDRESS IN_FLIGHT SECONDS" << std::endl;
    return 1;
  }
  return Measure({.address = argv[1], .in_flight = std::stoul(argv[2]), .seconds = std::stoi(argv[3])});
}
