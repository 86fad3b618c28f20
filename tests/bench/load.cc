#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/bench/load_connection.h"
#include "tokend/v1/token_service.pb.h"

// A client that costs little: one thread keeps a number of calls in flight, or begins a number of calls a
// second, and checks every answer's status. It prints one line of JSON, and exits with 1 if an answer is
// another one.
namespace tokend::bench {
namespace {

constexpr std::string_view kCreateToken = "/tokend.v1.TokenService/CreateToken";
constexpr std::string_view kTokens = "/v1/organizations/acme/apps/ios-app/tokens";
constexpr int kTurnMs = 100;
constexpr int kPacedTurnMs = 1;
constexpr std::chrono::seconds kPatience{30};
constexpr int kPermissionDenied = 7;
constexpr std::size_t kConnectionsOfAHost = 64;

// tokend permits a caller two replays for each of its tokens, and at most 1,000 at once.
constexpr std::uint64_t kTokensAtOnce = 500;
constexpr std::uint64_t kReplaysOfAToken = 2;

enum class Work { kMint, kReplay, kRefused, kJson };

struct Flags {
  std::string address;
  std::string ca_file;
  std::vector<std::string> identities;
  Work work = Work::kMint;
  std::size_t connections = 4;
  std::size_t in_flight = 64;
  double seconds = 0;       // 0: until all calls are answered
  std::uint64_t calls = 0;  // 0: no limit
  double rate = 0;          // calls a second; 0: as fast as answers come
  bool wait = false;
};

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

Clock::duration Duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// The CPU time that this process has used.
double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The body of a request. A CreateToken request has a request_id that no other process uses.
class Body {
 public:
  explicit Body(Work work) {
    if (work == Work::kJson) {
      bytes_ = R"({"description":"nightly build","scopes":["sdk"]})";
      return;
    }
    std::array<char, 40> text{};
    const std::uint32_t process = std::random_device{}();
    std::snprintf(text.data(), text.size(), "%08x-%04x-4000-8000-000000000000", process,
                  std::random_device{}() & 0xFFFFU);
    v1::CreateTokenRequest request;
    request.set_organization("acme");
    request.set_application(work == Work::kRefused ? "not-granted" : "ios-app");
    request.set_description("nightly build");
    request.add_scopes("sdk");
    request.set_request_id(text.data());
    const std::string message = request.SerializeAsString();
    bytes_ = std::string("\0\0\0\0", 4) + static_cast<char>(message.size()) + message;
    number_at_ = bytes_.find(text.data()) + std::strlen(text.data()) - kDigits;
  }

  // The body whose request_id ends with this number. It is valid until the next one.
  std::string_view Of(std::uint64_t number) {
    constexpr char kHex[] = "0123456789abcdef";
    for (std::size_t i = 0; number_at_ != 0 && i < kDigits; ++i) {
      bytes_[number_at_ + i] = kHex[number >> 4 * (kDigits - 1 - i) & 0xFU];
    }
    return bytes_;
  }

 private:
  static constexpr std::size_t kDigits = 12;

  std::string bytes_;
  std::size_t number_at_ = 0;  // 0: there is no request_id
};

// What has been measured.
class Measurement {
 public:
  void Add(Clock::duration latency) {
    latencies_us_.push_back(std::chrono::duration<float, std::micro>(latency).count());
  }
  void AddTime(double seconds, double cpu_s) {
    seconds_ += seconds;
    cpu_s_ += cpu_s;
  }
  double seconds() const { return seconds_; }
  std::size_t calls() const { return latencies_us_.size(); }

  // `all_calls`: also those of the parts that are not measured.
  void Print(std::uint64_t all_calls) {
    const std::size_t calls = latencies_us_.size();
    if (calls == 0) return;
    std::sort(latencies_us_.begin(), latencies_us_.end());
    std::cout << "{\"calls\":" << calls << ",\"all_calls\":" << all_calls
              << ",\"calls_per_s\":" << static_cast<double>(calls) / seconds_
              << ",\"p50_ms\":" << latencies_us_[calls / 2] / 1000
              << ",\"p99_ms\":" << latencies_us_[calls * 99 / 100] / 1000
              << ",\"client_us\":" << cpu_s_ * 1e6 / static_cast<double>(calls) << "}" << std::endl;
  }

 private:
  std::vector<float> latencies_us_;
  double seconds_ = 0;
  double cpu_s_ = 0;  // of this process
};

// A part of a run: calls that are like each other. Each connection numbers its own from 0.
struct Part {
  std::uint64_t calls_each = std::numeric_limits<std::uint64_t>::max();  // of each connection
  double seconds = 0;                                                    // for which calls begin; 0: no limit
  std::function<std::uint64_t(std::uint64_t which, std::uint64_t call)> request_id;
  Measurement* measured = nullptr;
};

class Load {
 public:
  Load(const Flags& flags, SSL_CTX* tls)
      : flags_(flags), body_(flags.work), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    ConnectionOptions options{.address = flags.address, .tls = tls, .identity = ""};
    if (flags.work == Work::kJson) options.protocol = Protocol::kJson;
    for (std::size_t i = 0; i < flags.connections; ++i) {
      options.host = static_cast<std::uint32_t>(i / kConnectionsOfAHost);
      if (!flags.identities.empty()) options.identity = flags.identities[i % flags.identities.size()];
      connections_.push_back(std::make_unique<Connection>(
          options, [this, i](const Exchange& exchange) { OnAnswer(i, exchange); }));
      Watch(connections_.back()->socket(), EPOLLIN | EPOLLOUT | EPOLLET, i);
    }
  }

  // Says that all are connected, and waits for a line. Returns false if standard input ends instead. If it
  // ends later, the run ends.
  bool AwaitStart() {
    std::cout << "{\"connected\":" << connections_.size() << "}" << std::endl;
    std::string line;
    if (!std::getline(std::cin, line)) return false;
    Watch(STDIN_FILENO, EPOLLIN, connections_.size());
    return true;
  }

  void Run(Measurement& measured) {
    if (flags_.work == Work::kReplay) return Replay(measured);
    Part part{.seconds = flags_.seconds, .request_id = {}, .measured = &measured};
    if (flags_.calls > 0) part.calls_each = flags_.calls / connections_.size();
    part.request_id = [this](std::uint64_t which, std::uint64_t call) {
      return call * connections_.size() + which;
    };
    Drive(part);
  }

  std::uint64_t answered() const { return answered_; }

 private:
  void Watch(int descriptor, std::uint32_t events, std::uint64_t which) {
    epoll_event event{.events = events, .data = {.u64 = which}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event);
  }

  // Measures the replays alone, between times in which their tokens are minted. Each connection needs a
  // caller of its own.
  void Replay(Measurement& measured) {
    for (std::uint64_t first = 0; measured.seconds() < flags_.seconds;
         first += kTokensAtOnce * connections_.size()) {
      const auto request_id = [this, first](std::uint64_t which, std::uint64_t call) {
        return first + call % kTokensAtOnce * connections_.size() + which;
      };
      Drive({.calls_each = kTokensAtOnce, .request_id = request_id});
      Drive(
          {.calls_each = kTokensAtOnce * kReplaysOfAToken, .request_id = request_id, .measured = &measured});
    }
  }

  // Makes the calls of a part, and returns when all of them have been answered.
  void Drive(const Part& part) {
    part_ = &part;
    begun_.assign(connections_.size(), 0);
    start_ = Clock::now();
    until_ = part.seconds > 0 ? start_ + Duration(part.seconds) : Clock::time_point::max();
    const double cpu_at_start = CpuSeconds();
    if (flags_.rate == 0) BeginFirst();
    while (!is_ended_ && (in_flight_ > 0 || (flags_.rate > 0 && Clock::now() < until_))) Turn();
    if (part.measured == nullptr) return;
    const double took_s = Seconds(Clock::now() - start_);
    part.measured->AddTime(part.seconds > 0 && !is_late_ ? part.seconds : took_s,
                           CpuSeconds() - cpu_at_start);
  }

  void Turn() {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 flags_.rate > 0 ? kPacedTurnMs : kTurnMs);
    for (std::size_t i = 0; i < static_cast<std::size_t>(std::max(count, 0)); ++i) {
      if (events[i].data.u64 == connections_.size()) {
        is_ended_ = true;
        continue;
      }
      Connection& connection = *connections_[events[i].data.u64];
      connection.Read();
      connection.Flush();
    }
    if (flags_.rate > 0) BeginDue();
    if (!failure_.empty()) throw std::runtime_error(failure_);
    if (!flags_.wait && Clock::now() - last_answer_ > kPatience)
      throw std::runtime_error("calls get no answer");
  }

  void BeginFirst() {
    last_answer_ = Clock::now();
    for (std::size_t i = 0; i < flags_.in_flight; ++i) Begin(i % connections_.size());
    for (const auto& connection : connections_) connection->Flush();
  }

  // Begins the calls that the rate asks for by now.
  void BeginDue() {
    const Clock::time_point now = Clock::now();
    if (in_flight_ == 0) last_answer_ = now;
    const double passed_s = std::min(Seconds(now - start_), part_->seconds);
    while (static_cast<double>(all_begun_) < passed_s * flags_.rate && in_flight_ < flags_.in_flight)
      Begin(all_begun_ % connections_.size());
    for (const auto& connection : connections_) connection->Flush();
  }

  void Begin(std::size_t which) {
    if (begun_[which] == part_->calls_each) return;
    const std::uint64_t number = part_->request_id(which, begun_[which]++);
    ++all_begun_;
    ++in_flight_;
    connections_[which]->Call(flags_.work == Work::kJson ? kTokens : kCreateToken, body_.Of(number));
  }

  void OnAnswer(std::size_t which, const Exchange& exchange) {
    last_answer_ = Clock::now();
    --in_flight_;
    ++answered_;
    if (!IsExpected(exchange)) {
      failure_ = "an answer has the HTTP status " + std::to_string(exchange.http_status) +
                 " and the gRPC status " + std::to_string(exchange.grpc_status);
    }
    const bool is_over = last_answer_ >= until_;
    // Where the machine is too busy for a single call in time, the late ones count.
    if (is_over && part_->measured->calls() == 0) is_late_ = true;
    if (part_->measured != nullptr && (!is_over || is_late_)) {
      part_->measured->Add(last_answer_ - exchange.began);
    }
    if (!is_over && flags_.rate == 0) Begin(which);
  }

  bool IsExpected(const Exchange& exchange) const {
    if (exchange.http_status != 200) return false;
    switch (flags_.work) {
      case Work::kMint:
      case Work::kReplay:
        return exchange.grpc_status == 0 && exchange.received > 0;
      case Work::kRefused:
        return exchange.grpc_status == kPermissionDenied;
      case Work::kJson:
        return exchange.received > 0;
    }
    return false;
  }

  const Flags flags_;
  Body body_;
  const Descriptor epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  const Part* part_ = nullptr;
  std::vector<std::uint64_t> begun_;  // of this part, by each connection
  std::uint64_t all_begun_ = 0;
  std::uint64_t answered_ = 0;  // of all parts
  std::size_t in_flight_ = 0;
  Clock::time_point start_;
  Clock::time_point until_;
  Clock::time_point last_answer_;
  std::string failure_;
  bool is_ended_ = false;
  bool is_late_ = false;
};

using TlsContext = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

TlsContext MakeTlsContext(const std::string& ca_file) {
  TlsContext context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_file(context.get(), ca_file.c_str()) != 1)
    throw std::runtime_error("cannot read " + ca_file);
  return context;
}

void Declare(CLI::App& app, Flags& flags) {
  app.add_option("address", flags.address, "unix:///path or 127.0.0.1:port")->required();
  app.add_option("--ca-file", flags.ca_file, "Use TLS, and trust these certificates");
  app.add_option("--identity", flags.identities,
                 "FILE.crt and FILE.key of a client; the connections take turns");
  const std::map<std::string, Work> names = {
      {"mint", Work::kMint}, {"replay", Work::kReplay}, {"refused", Work::kRefused}, {"json", Work::kJson}};
  app.add_option("--work", flags.work, "What the calls ask for")->transform(CLI::CheckedTransformer(names));
  app.add_option("--connections", flags.connections);
  app.add_option("--in-flight", flags.in_flight, "Calls at a time, of all connections together");
  app.add_option("--seconds", flags.seconds);
  app.add_option("--calls", flags.calls, "Of all connections together; a multiple of their number");
  app.add_option("--rate", flags.rate, "Calls a second, of all connections together");
  app.add_flag("--wait", flags.wait, "Connect, print a line, and wait for a line before the calls begin");
}

int Run(const Flags& flags) {
  TlsContext tls(nullptr, &SSL_CTX_free);
  if (!flags.ca_file.empty()) tls = MakeTlsContext(flags.ca_file);
  Load load(flags, tls.get());
  if (flags.wait && !load.AwaitStart()) return 0;
  Measurement measured;
  load.Run(measured);
  measured.Print(load.answered());
  return 0;
}

}  // namespace
}  // namespace tokend::bench

int main(int argc, char** argv) {
  CLI::App app("Makes gRPC calls, or POSTs as Applivery's API takes them, and measures how long they take.");
  tokend::bench::Flags flags;
  tokend::bench::Declare(app, flags);
  CLI11_PARSE(app, argc, argv);
  try {
    return tokend::bench::Run(flags);
  } catch (const std::runtime_error& error) {
    std::cerr << "bench-load: " << error.what() << std::endl;
    return 1;
  }
}
