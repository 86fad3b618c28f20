#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/loop/curl_loop.h"
#include "daemon/loop/http_client.h"

namespace tokend::loop {

inline constexpr std::chrono::seconds kPatience{30};
inline constexpr char kBody[] = R"({"scopes":["sdk"]})";

inline HttpClientOptions Options() {
  return {.ca_file = "",
          .allow_http = true,
          .connect_timeout = std::chrono::seconds(5),
          .timeout = std::chrono::seconds(30),
          .connection_max_idle = std::chrono::seconds(4),
          .max_response_size = 65536,
          .max_connections = 256};
}

// A client on a loop of its own, asked from the test's thread.
class Client {
 public:
  explicit Client(HttpClientOptions options = Options()) : client_(loop_.NewHttpClient(std::move(options))) {
    loop_.Start();
  }
  ~Client() {
    Run([this] { client_.reset(); });
    loop_.Stop();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // On the loop's thread; also from within what runs there.
  void Run(std::function<void()> what) {
    if (std::this_thread::get_id() == loop_thread_) return what();
    std::promise<void> ran;
    loop_.Post([&] {
      loop_thread_ = std::this_thread::get_id();
      what();
      ran.set_value();
    });
    ran.get_future().wait();
  }

  std::future<HttpAnswer> Begin(const std::string& url, std::string body = kBody,
                                HttpPost::Connection connection = HttpPost::Connection::kAny) {
    auto answered = std::make_shared<std::promise<HttpAnswer>>();
    auto future = answered->get_future();
    Run([&] {
      HttpPost post;
      post.url = url;
      auto headers = std::make_shared<HeaderList>();
      headers->Add("Content-Type", "application/json");
      headers->Add("Authorization", "Bearer key");
      post.headers = std::move(headers);
      post.body = std::move(body);
      post.connection = connection;
      client_->Post(std::move(post),
                    [answered](HttpAnswer answer) { answered->set_value(std::move(answer)); });
    });
    return future;
  }

  std::vector<std::future<HttpAnswer>> BeginMany(int count, const std::string& url) {
    std::vector<std::future<HttpAnswer>> answers;
    answers.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) answers.push_back(Begin(url));
    return answers;
  }

  HttpAnswer Get(const std::string& url) {
    std::promise<HttpAnswer> answered;
    Run([&] {
      client_->Get({.url = url, .headers = nullptr},
                   [&answered](HttpAnswer answer) { answered.set_value(std::move(answer)); });
    });
    return answered.get_future().get();
  }

  HttpAnswer Ask(const std::string& url, std::string body = kBody) {
    std::future<HttpAnswer> answer = Begin(url, std::move(body));
    if (answer.wait_for(kPatience) == std::future_status::ready) return answer.get();
    ADD_FAILURE() << "no answer";
    return {};
  }

  HttpClient& http() { return *client_; }
  CurlLoop& loop() { return loop_; }

 private:
  std::thread::id loop_thread_;
  CurlLoop loop_;
  std::unique_ptr<HttpClient> client_;
};

}  // namespace tokend::loop
