#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/loop/curl_loop.h"
#include "daemon/upstream/curl_central_calls.h"
#include "daemon/upstream/grpc_exchange.h"
#include "tests/fakes/http_server.h"

namespace tokend::upstream {

inline constexpr std::chrono::seconds kAnswerPatience{30};
inline constexpr char kCentreName[] = "centre.test";

// An answer with one message and status 0.
inline fakes::Reply GrpcOk(const std::string& message = "token") {
  fakes::Reply reply;
  reply.headers = {{"content-type", "application/grpc"}};
  reply.body = FrameMessage(message);
  reply.trailers = {{"grpc-status", "0"}};
  return reply;
}

// An answer that consists of a header alone.
inline fakes::Reply GrpcError(const std::string& status, const std::string& details = "") {
  fakes::Reply reply;
  reply.headers = {{"content-type", "application/grpc"}, {"grpc-status", status}};
  if (!details.empty()) reply.headers.emplace_back("grpc-status-details-bin", details);
  reply.header_only = true;
  return reply;
}

// A central tokend that answers each call with the next of its replies, and then with GrpcOk.
class FakeCentre final : private fakes::Handler {
 public:
  explicit FakeCentre(fakes::HttpServerOptions options) : server_(std::move(options), *this) {}

  void Answer(fakes::Reply reply) {
    const std::lock_guard lock(mutex_);
    replies_.push_back(std::move(reply));
  }

  std::vector<fakes::Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return connections_;
  }
  std::uint16_t port() const { return server_.port(); }
  fakes::HttpServer& server() { return server_; }

 private:
  void OnAccepted() override {
    const std::lock_guard lock(mutex_);
    ++connections_;
  }
  void OnClosed() override {}
  std::optional<fakes::Reply> OnHeader(fakes::Request&) override { return std::nullopt; }
  fakes::Reply OnRequest(const fakes::Request& request) override {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    if (replies_.empty()) return GrpcOk();
    fakes::Reply reply = std::move(replies_.front());
    replies_.pop_front();
    return reply;
  }

  mutable std::mutex mutex_;
  std::deque<fakes::Reply> replies_;
  std::vector<fakes::Request> requests_;
  std::size_t connections_ = 0;
  fakes::HttpServer server_;
};

inline std::string HeaderOf(const fakes::Request& request, const std::string& name) {
  std::string found;
  for (const auto& [each, value] : request.headers) {
    if (each == name) found += (found.empty() ? "" : " & ") + value;
  }
  return found;
}

// The addresses that every look-up finds. Any thread.
class KnownNames {
 public:
  explicit KnownNames(std::vector<std::string> addresses) : addresses_(std::move(addresses)) {}

  void Set(std::vector<std::string> addresses) {
    const std::lock_guard lock(mutex_);
    addresses_ = std::move(addresses);
  }
  // From now on no look-up ends.
  void Hang() {
    const std::lock_guard lock(mutex_);
    hangs_ = true;
  }
  std::size_t look_ups() const {
    const std::lock_guard lock(mutex_);
    return look_ups_;
  }

  std::unique_ptr<loop::NameLookup> For(loop::EventLoop& loop) { return std::make_unique<Port>(*this, loop); }

 private:
  class Port final : public loop::NameLookup {
   public:
    Port(KnownNames& names, loop::EventLoop& loop) : names_(names), loop_(loop) {}
    void LookUp(const std::string&, Done done) override {
      const std::lock_guard lock(names_.mutex_);
      ++names_.look_ups_;
      if (names_.hangs_) return;
      // A NameLookup that is destroyed calls nobody.
      loop_.Post(
          [alive = std::weak_ptr(alive_), done = std::move(done), addresses = names_.addresses_]() mutable {
            if (!alive.expired()) done(std::move(addresses));
          });
    }

   private:
    KnownNames& names_;
    loop::EventLoop& loop_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  };

  mutable std::mutex mutex_;
  std::vector<std::string> addresses_;
  bool hangs_ = false;
  std::size_t look_ups_ = 0;
};

inline CentralCall ACall(const std::string& message = "request") {
  return {.message = message, .metadata = {{"traceparent", "00-1-2-01"}}};
}

// CurlCentralCalls on a loop of its own, asked from the test's thread.
class CallingRelay {
 public:
  explicit CallingRelay(const config::TokendUpstream& options, KnownNames* names = nullptr) {
    Result<CentralCredentials> credentials = ReadCentralCredentials(options);
    EXPECT_TRUE(credentials.ok()) << credentials.status();
    calls_ = std::make_unique<CurlCentralCalls>(options, *std::move(credentials), loop_,
                                                names != nullptr ? names->For(loop_) : nullptr);
    loop_.Start();
  }
  ~CallingRelay() {
    Stop();
    loop_.Stop();
  }
  CallingRelay(const CallingRelay&) = delete;
  CallingRelay& operator=(const CallingRelay&) = delete;

  void Run(std::function<void(CurlCentralCalls&)> what) {
    std::promise<void> ran;
    loop_.Post([&] {
      what(*calls_);
      ran.set_value();
    });
    ran.get_future().wait();
  }

  void Stop() {
    Run([](CurlCentralCalls& calls) { calls.Stop(); });
  }

  std::future<CentralAnswer> Begin(CentralCall call) {
    auto answered = std::make_shared<std::promise<CentralAnswer>>();
    auto future = answered->get_future();
    Run([&](CurlCentralCalls& calls) {
      calls.Call(std::move(call),
                 [answered](CentralAnswer answer) { answered->set_value(std::move(answer)); });
    });
    return future;
  }

  CentralAnswer Ask(CentralCall call = ACall()) {
    std::future<CentralAnswer> answer = Begin(std::move(call));
    if (answer.wait_for(kAnswerPatience) == std::future_status::ready) return answer.get();
    ADD_FAILURE() << "no answer";
    return {};
  }

  // Makes `count` calls at once, and returns their answers.
  std::vector<CentralAnswer> AskMany(std::size_t count) {
    std::vector<std::future<CentralAnswer>> begun;
    for (std::size_t i = 0; i < count; ++i) begun.push_back(Begin(ACall()));
    std::vector<CentralAnswer> answers;
    for (auto& answer : begun) {
      EXPECT_EQ(answer.wait_for(kAnswerPatience), std::future_status::ready);
      answers.push_back(answer.get());
    }
    return answers;
  }

 private:
  loop::CurlLoop loop_;
  std::unique_ptr<CurlCentralCalls> calls_;
};

}  // namespace tokend::upstream
