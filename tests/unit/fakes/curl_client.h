#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>

#include "tests/fakes/http_exchange.h"

namespace tokend::fakes {

inline constexpr const char* kBody = R"({"description":"for the build","scopes":["sdk"]})";

struct CurlAnswer {
  CURLcode code = CURLE_OK;
  long status = 0;
  std::string body;
  std::string headers;
};

// One easy handle, whose connection lives on between its calls. One thread at a time.
class CurlClient {
 public:
  CurlClient(std::string base_url, std::string ca_pem, Protocol protocol)
      : base_url_(std::move(base_url)), ca_pem_(std::move(ca_pem)), easy_(curl_easy_init()) {
    curl_easy_setopt(easy(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy(), CURLOPT_TIMEOUT_MS, 20'000L);
    curl_easy_setopt(easy(), CURLOPT_HTTP_VERSION,
                     protocol == Protocol::kHttp2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    if (!ca_pem_.empty()) {
      curl_blob blob = {ca_pem_.data(), ca_pem_.size(), CURL_BLOB_NOCOPY};
      curl_easy_setopt(easy(), CURLOPT_CAINFO_BLOB, &blob);
    }
    curl_easy_setopt(easy(), CURLOPT_POST, 1L);
    curl_easy_setopt(easy(), CURLOPT_READFUNCTION, Read);
    curl_easy_setopt(easy(), CURLOPT_READDATA, this);
    curl_easy_setopt(easy(), CURLOPT_WRITEFUNCTION, Append);
    curl_easy_setopt(easy(), CURLOPT_HEADERFUNCTION, Append);
    curl_easy_setopt(easy(), CURLOPT_WRITEDATA, &answer_.body);
    curl_easy_setopt(easy(), CURLOPT_HEADERDATA, &answer_.headers);
  }
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;

  std::string authorization = "Bearer fake-api-key";  // empty: none
  std::string content_type = "application/json";
  std::string expect;

  void Prepare(const std::string& application, const std::string& body = kBody) {
    PreparePath("/v1/organizations/acme/apps/" + application + "/tokens", body);
  }

  void PreparePath(const std::string& path, const std::string& body = kBody) {
    answer_ = CurlAnswer{};
    body_ = body;
    body_at_ = 0;
    headers_.reset();
    const auto add = [this](const std::string& line) {
      headers_.reset(curl_slist_append(headers_.release(), line.c_str()));
    };
    if (!authorization.empty()) add("Authorization: " + authorization);
    add("Content-Type: " + content_type);
    add("Expect: " + expect);
    curl_easy_setopt(easy(), CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy(), CURLOPT_URL, (base_url_ + path).c_str());
    curl_easy_setopt(easy(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  }

  CurlAnswer Post(const std::string& application, const std::string& body = kBody) {
    Prepare(application, body);
    return Send();
  }

  CurlAnswer PostTo(const std::string& path) {
    PreparePath(path);
    return Send();
  }

  CurlAnswer Send() { return Finish(curl_easy_perform(easy())); }

  // What came, after a transfer that ended so.
  CurlAnswer Finish(CURLcode code) {
    answer_.code = code;
    curl_easy_getinfo(easy(), CURLINFO_RESPONSE_CODE, &answer_.status);
    return answer_;
  }

  CURL* easy() const { return easy_.get(); }

 private:
  struct Free {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  // Has no rewind and refuses to begin anew: otherwise libcurl sends a POST twice of its own accord.
  static std::size_t Read(char* buffer, std::size_t size, std::size_t count, void* context) {
    auto* self = static_cast<CurlClient*>(context);
    if (self->body_at_ == std::string::npos) return CURL_READFUNC_ABORT;
    const std::size_t taken = self->body_.copy(buffer, size * count, self->body_at_);
    self->body_at_ =
        self->body_at_ + taken == self->body_.size() ? std::string::npos : self->body_at_ + taken;
    return taken;
  }

  static std::size_t Append(char* bytes, std::size_t size, std::size_t count, void* text) {
    static_cast<std::string*>(text)->append(bytes, size * count);
    return size * count;
  }

  std::string base_url_;
  std::string ca_pem_;
  std::string body_;
  std::size_t body_at_ = 0;
  CurlAnswer answer_;
  std::unique_ptr<curl_slist, Free> headers_;
  std::unique_ptr<CURL, Free> easy_;
};

}  // namespace tokend::fakes
