#include <curl/curl.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <simdjson.h>

#include <atomic>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tokend/v1/token_service.grpc.pb.h"

// The smallest proxy that can mint a token: gRPC's callback API in front of one libcurl thread. It checks
// nothing that it receives, so only the benchmark may call it.
namespace {

using tokend::v1::CreateTokenRequest;
using tokend::v1::CreateTokenResponse;

// The same as in tokend for its 256 requests to the upstream.
constexpr long kMaxConnections = 3;
constexpr long kTimeoutMs = 30000;
constexpr int kLongestWaitMs = 1000;

struct Flags {
  std::string identity;  // the listener's certificate is in identity.crt, its key in identity.key
  std::string ca_file;   // for clients and for the upstream
  std::string base_url;
  std::string key_file;
};

struct Call {
  std::string url;
  std::string body;
  std::string answer;
  CreateTokenResponse* response;
  grpc::ServerUnaryReactor* reactor;
};

std::size_t OnWrite(char* bytes, std::size_t size, std::size_t count, void* call) {
  static_cast<Call*>(call)->answer.append(bytes, size * count);
  return size * count;
}

// A thread that drives a libcurl multi handle.
class Upstream {
 public:
  explicit Upstream(const Flags& flags) : ca_file_(flags.ca_file), multi_(curl_multi_init()) {
    std::string key;
    std::getline(std::ifstream(flags.key_file), key);
    for (const std::string& header :
         {"Authorization: Bearer " + key, std::string("Content-Type: application/json"),
          std::string("Accept: application/json")}) {
      headers_ = curl_slist_append(headers_, header.c_str());
    }
    curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, kMaxConnections);
    thread_ = std::thread([this] { Run(); });
  }

  // Call this when no call is running.
  ~Upstream() {
    stopping_ = true;
    curl_multi_wakeup(multi_);
    thread_.join();
    for (CURL* handle : idle_) curl_easy_cleanup(handle);
    curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
  }
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  void Post(std::unique_ptr<Call> call) {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(call));
    if (posted_.size() == 1) curl_multi_wakeup(multi_);
  }

 private:
  void Run() {
    while (!stopping_) {
      std::vector<std::unique_ptr<Call>> posted;
      {
        const std::lock_guard lock(mutex_);
        posted.swap(posted_);
      }
      for (auto& call : posted) Start(std::move(call));
      int running = 0;
      curl_multi_perform(multi_, &running);
      int queued = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) Finish(message->easy_handle);
      curl_multi_poll(multi_, nullptr, 0, kLongestWaitMs, nullptr);
    }
  }

  CURL* NewHandle() {
    CURL* const handle = curl_easy_init();
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file_.c_str());
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(handle, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, kTimeoutMs);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &OnWrite);
    return handle;
  }

  void Start(std::unique_ptr<Call> call) {
    if (idle_.empty()) idle_.push_back(NewHandle());
    CURL* const handle = idle_.back();
    idle_.pop_back();
    curl_easy_setopt(handle, CURLOPT_URL, call->url.c_str());
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, static_cast<long>(call->body.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, call->body.c_str());
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, static_cast<void*>(call.get()));
    curl_easy_setopt(handle, CURLOPT_PRIVATE, static_cast<void*>(call.release()));
    curl_multi_add_handle(multi_, handle);
  }

  void Finish(CURL* handle) {
    Call* finished = nullptr;
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_PRIVATE, &finished);
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi_, handle);
    idle_.push_back(handle);
    const std::unique_ptr<Call> call(finished);
    const bool minted = status == 200 && Read(*call);
    call->reactor->Finish(minted ? grpc::Status::OK
                                 : grpc::Status(grpc::StatusCode::UNAVAILABLE, "no token"));
  }

  bool Read(Call& call) {
    simdjson::dom::element data;
    if (parser_.parse(call.answer)["data"].get(data) != simdjson::SUCCESS) return false;
    tokend::v1::Token& token = *call.response->mutable_token();
    for (const auto& [key, field] :
         {std::pair("id", token.mutable_id()), std::pair("organization", token.mutable_organization()),
          std::pair("application", token.mutable_application()),
          std::pair("description", token.mutable_description()),
          std::pair("bearer", token.mutable_bearer())}) {
      std::string_view text;
      if (data[key].get(text) != simdjson::SUCCESS) return false;
      *field = text;
    }
    return true;
  }

  const std::string ca_file_;
  CURLM* const multi_;
  curl_slist* headers_ = nullptr;
  std::vector<CURL*> idle_;
  simdjson::dom::parser parser_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Call>> posted_;
  std::thread thread_;
};

class Service final : public tokend::v1::TokenService::CallbackService {
 public:
  Service(std::string base_url, Upstream& upstream) : base_url_(std::move(base_url)), upstream_(upstream) {}

  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context,
                                        const CreateTokenRequest* request,
                                        CreateTokenResponse* response) override {
    auto call = std::make_unique<Call>();
    call->url = base_url_ + "/v1/organizations/" + request->organization() + "/apps/" +
                request->application() + "/tokens";
    call->body =
        R"({"description":")" + request->description() + R"(","scopes":[")" + request->scopes(0) + "\"]}";
    call->response = response;
    call->reactor = context->DefaultReactor();
    response->set_request_id(request->request_id());
    *response->mutable_token()->mutable_scopes() = request->scopes();
    grpc::ServerUnaryReactor* const reactor = call->reactor;
    upstream_.Post(std::move(call));
    return reactor;
  }

 private:
  const std::string base_url_;
  Upstream& upstream_;
};

std::string Contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// TLS, for clients that have a certificate, as tokend has it.
std::shared_ptr<grpc::ServerCredentials> Credentials(const Flags& flags) {
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = Contents(flags.ca_file);
  options.pem_key_cert_pairs.push_back(
      {Contents(flags.identity + ".key"), Contents(flags.identity + ".crt")});
  return grpc::SslServerCredentials(options);
}

int Serve(const Flags& flags) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  curl_global_init(CURL_GLOBAL_DEFAULT);

  Upstream upstream(flags);
  Service service(flags.base_url, upstream);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", Credentials(flags), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) {
    std::cerr << "bench-bare-proxy: cannot listen" << std::endl;
    return 1;
  }
  std::cout << "listening " << port << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: bench-bare-proxy IDENTITY CA_FILE BASE_URL KEY_FILE" << std::endl;
    return 1;
  }
  return Serve({.identity = argv[1], .ca_file = argv[2], .base_url = argv[3], .key_file = argv[4]});
}
