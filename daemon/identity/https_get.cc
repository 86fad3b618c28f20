#include "daemon/identity/https_get.h"

#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/key_file.h"
#include "daemon/base/read_file.h"
#include "daemon/base/secret.h"
#include "daemon/loop/http_client.h"

namespace tokend::identity {
namespace {

constexpr long kStatusOk = 200;
constexpr int kLongestPollMs = 1000;

struct Body {
  std::string bytes;
  std::size_t max_bytes;
  bool too_large = false;
};

std::size_t OnBody(char* bytes, std::size_t size, std::size_t count, void* to) {
  auto& body = *static_cast<Body*>(to);
  body.too_large = body.too_large || size * count > body.max_bytes - body.bytes.size();
  if (body.too_large) return 0;
  body.bytes.append(bytes, size * count);
  return size * count;
}

Status Failed(std::string_view why) { return absl::UnavailableError({why.data(), why.size()}); }

// The whole of what one transfer is told, or whether libcurl took it.
class Options {
 public:
  explicit Options(CURL* easy) : easy_(easy) {}

  template <class Value>
  void Set(CURLoption option, Value value) {
    taken_ = curl_easy_setopt(easy_, option, value) == CURLE_OK && taken_;
  }
  bool taken() const { return taken_; }

 private:
  CURL* easy_;
  bool taken_ = true;
};

Status AddToken(const std::string& file, loop::HeaderList& headers) {
  const Result<Secret> contents = ReadBoundedFile(file, kMaxKeyBytes + 2);
  if (!contents.ok()) return contents.status();
  std::string_view text = contents->Expose();
  if (text.ends_with('\n')) text.remove_suffix(1);
  const Result<Secret> token = MakeKey(file, text);
  if (!token.ok()) return token.status();
  Secret value("Bearer ");
  value.Reserve(value.size() + token->size());
  value.Append(token->Expose());
  headers.Add("authorization", value.Expose());
  return absl::OkStatus();
}

}  // namespace

HttpsGet::HttpsGet(config::JwksUrl from, std::size_t max_bytes, std::chrono::milliseconds timeout)
    : from_(std::move(from)), max_bytes_(max_bytes), timeout_(timeout), multi_(curl_multi_init()) {
  if (multi_ == nullptr) throw std::bad_alloc();
}

Status HttpsGet::SetOptions(CURL* easy) const {
  Options options(easy);
  options.Set(CURLOPT_URL, from_.url.c_str());
  options.Set(CURLOPT_PROTOCOLS_STR, "https");
  options.Set(CURLOPT_FOLLOWLOCATION, 0L);
  options.Set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  // Not null but empty: the environment's proxies would otherwise be asked.
  options.Set(CURLOPT_PROXY, "");
  options.Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  options.Set(CURLOPT_SSL_VERIFYPEER, 1L);
  options.Set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!from_.ca_file.empty()) {
    options.Set(CURLOPT_CAINFO, from_.ca_file.c_str());
    // Or the system's CAs would count as well.
    options.Set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  options.Set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
  options.Set(CURLOPT_FORBID_REUSE, 1L);
  options.Set(CURLOPT_NOSIGNAL, 1L);
  // Without it a transfer that ends while its name resolves waits for getaddrinfo.
  options.Set(CURLOPT_QUICK_EXIT, 1L);
  options.Set(CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_.count()));
  options.Set(CURLOPT_WRITEFUNCTION, &OnBody);
  return options.taken() ? absl::OkStatus() : Failed("libcurl lacks an option that tokend relies on");
}

Result<CURLcode> HttpsGet::Perform(CURL* easy) {
  if (curl_multi_add_handle(multi_.get(), easy) != CURLM_OK) return Failed("libcurl cannot begin a transfer");
  const absl::Cleanup remove = [&] { curl_multi_remove_handle(multi_.get(), easy); };
  for (int running = 1; running > 0;) {
    if (interrupted_) return Failed("the daemon is stopping");
    if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) return Failed("libcurl cannot go on");
    if (running > 0) curl_multi_poll(multi_.get(), nullptr, 0, kLongestPollMs, nullptr);
  }
  int queued = 0;
  const CURLMsg* message = curl_multi_info_read(multi_.get(), &queued);
  if (message == nullptr || message->msg != CURLMSG_DONE) return Failed("libcurl gives no result");
  return message->data.result;
}

Result<std::string> HttpsGet::Run() {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), &curl_easy_cleanup);
  if (easy == nullptr) throw std::bad_alloc();
  if (Status status = SetOptions(easy.get()); !status.ok()) return status;
  loop::HeaderList headers;
  headers.Add("accept", "application/jwk-set+json, application/json");
  if (!from_.token_file.empty()) {
    if (Status status = AddToken(from_.token_file, headers); !status.ok()) return status;
  }
  Body body{.bytes = {}, .max_bytes = max_bytes_};
  if (curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get()) != CURLE_OK ||
      curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &body) != CURLE_OK) {
    return Failed("libcurl lacks an option that tokend relies on");
  }
  const Result<CURLcode> code = Perform(easy.get());
  if (!code.ok()) return code.status();
  if (body.too_large) return Failed("the answer is too large");
  if (*code != CURLE_OK) return Failed(curl_easy_strerror(*code));
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != kStatusOk) return Failed("the answer is not a 200");
  return std::move(body.bytes);
}

void HttpsGet::Interrupt() {
  interrupted_ = true;
  curl_multi_wakeup(multi_.get());
}

}  // namespace tokend::identity
