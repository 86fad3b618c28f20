// Runs a test's plan with gRPC for C++ and raw bytes as messages: see README.md.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <simdjson.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxOutcomes = 32;

struct Job {
  std::string method;
  std::string kind;
  std::vector<std::string> requests;
  std::map<std::string, std::string> metadata;
  std::int64_t count = 1;
  std::int64_t parallel = 1;
  double seconds = 0;
  milliseconds timeout{0};
  milliseconds cancel_after{0};
  milliseconds pause{0};
};

struct Outcome {
  grpc::Status status;
  std::string pushback;
  std::vector<std::string> responses;
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Text(simdjson::dom::element json, const char* key) {
  std::string_view text;
  return json[key].get(text) == simdjson::SUCCESS ? std::string(text) : "";
}

std::int64_t Number(simdjson::dom::element json, const char* key, std::int64_t otherwise) {
  std::int64_t number = 0;
  return json[key].get(number) == simdjson::SUCCESS ? number : otherwise;
}

Job ReadJob(simdjson::dom::element json) {
  Job job;
  job.method = Text(json, "method");
  job.kind = Text(json, "kind");
  simdjson::dom::array requests;
  if (json["requests"].get(requests) == simdjson::SUCCESS) {
    for (const auto each : requests) {
      std::string bytes;
      const std::string_view base64 = each.get_string().value();
      absl::Base64Unescape({base64.data(), base64.size()}, &bytes);
      job.requests.push_back(bytes);
    }
  }
  if (job.requests.empty()) job.requests.emplace_back();
  simdjson::dom::object metadata;
  if (json["metadata"].get(metadata) == simdjson::SUCCESS) {
    for (const auto& [key, value] : metadata)
      job.metadata[std::string(key)] = std::string(value.get_string().value());
  }
  job.count = Number(json, "count", 1);
  job.parallel = Number(json, "parallel", 1);
  job.timeout = milliseconds(Number(json, "timeout_ms", 0));
  job.cancel_after = milliseconds(Number(json, "cancel_after_ms", 0));
  job.pause = milliseconds(Number(json, "pause_ms", 0));
  double seconds = 0;
  if (json["seconds"].get(seconds) == simdjson::SUCCESS) job.seconds = seconds;
  return job;
}

grpc::ByteBuffer Buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string Bytes(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) return "";
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

// Waits for the only operation in progress. Returns whether it succeeded.
bool Wait(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return ok;
}

Outcome CallUnary(grpc::GenericStub& stub, grpc::ClientContext& context, const Job& job,
                  const std::string& request) {
  Outcome outcome;
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, job.method, Buffer(request), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  call->Finish(&response, &outcome.status, nullptr);
  Wait(queue);
  if (outcome.status.ok()) outcome.responses.push_back(Bytes(response));
  return outcome;
}

Outcome CallStream(grpc::GenericStub& stub, grpc::ClientContext& context, const Job& job,
                   const std::vector<std::string>& requests) {
  Outcome outcome;
  grpc::CompletionQueue queue;
  auto stream = stub.PrepareCall(&context, job.method, &queue);
  stream->StartCall(nullptr);
  bool open = Wait(queue);
  for (std::size_t i = 0; open && i < requests.size(); ++i) {
    stream->Write(Buffer(requests[i]), nullptr);
    open = Wait(queue);
  }
  if (open) {
    stream->WritesDone(nullptr);
    Wait(queue);
  }
  while (open) {
    grpc::ByteBuffer response;
    stream->Read(&response, nullptr);
    open = Wait(queue);
    if (open) outcome.responses.push_back(Bytes(response));
  }
  stream->Finish(&outcome.status, nullptr);
  Wait(queue);
  return outcome;
}

Outcome Call(grpc::GenericStub& stub, const Job& job, const std::string& request) {
  grpc::ClientContext context;
  if (job.timeout.count() > 0) context.set_deadline(std::chrono::system_clock::now() + job.timeout);
  for (const auto& [key, value] : job.metadata) context.AddMetadata(key, value);
  std::atomic<bool> done = false;
  std::thread canceller;
  if (job.cancel_after.count() > 0) {
    canceller = std::thread([&] {
      const auto at = Clock::now() + job.cancel_after;
      while (!done && Clock::now() < at) std::this_thread::sleep_for(milliseconds(1));
      context.TryCancel();
    });
  }
  Outcome outcome = job.kind.empty()     ? CallUnary(stub, context, job, request)
                    : job.kind == "bidi" ? CallStream(stub, context, job, job.requests)
                                         : CallStream(stub, context, job, {request});
  done = true;
  if (canceller.joinable()) canceller.join();
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto pushback = trailers.find("grpc-retry-pushback-ms");
  if (pushback != trailers.end()) outcome.pushback.assign(pushback->second.data(), pushback->second.size());
  return outcome;
}

// The state that all workers of a job share.
class Run {
 public:
  Run(const std::shared_ptr<grpc::Channel>& channel, const Job& job, Clock::time_point started)
      : stub_(channel), job_(job), started_(started) {
    for (std::int64_t i = 0; i < job.parallel; ++i) workers_.emplace_back([this] { Work(); });
  }

  std::string Result() {
    for (std::thread& worker : workers_) worker.join();
    std::string codes;
    for (const auto& [code, count] : codes_) {
      codes += (codes.empty() ? "\"" : ",\"") + std::to_string(code) + "\":" + std::to_string(count);
    }
    std::string outcomes;
    for (const Outcome& outcome : outcomes_) outcomes += (outcomes.empty() ? "" : ",") + Json(outcome);
    return "{\"codes\":{" + codes + "},\"outcomes\":[" + outcomes + "]}";
  }

 private:
  void Work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      const bool over = job_.seconds > 0
                            ? std::chrono::duration<double>(Clock::now() - started_).count() >= job_.seconds
                            : begun_ >= job_.count;
      if (over) return;
      const std::string& request = job_.requests[static_cast<std::size_t>(begun_++) % job_.requests.size()];
      lock.unlock();
      Outcome outcome = Call(stub_, job_, request);
      lock.lock();
      ++codes_[outcome.status.error_code()];
      if (outcomes_.size() < kMaxOutcomes) outcomes_.push_back(std::move(outcome));
      const bool goes_on = job_.seconds > 0 || begun_ < job_.count;
      lock.unlock();
      if (goes_on && job_.pause.count() > 0) std::this_thread::sleep_for(job_.pause);
    }
  }

  static std::string Escaped(const std::string& text) {
    std::string escaped;
    for (const char c : text) {
      if (c == '"' || c == '\\') escaped += '\\';
      if (c >= ' ') escaped += c;
    }
    return escaped;
  }

  static std::string Json(const Outcome& outcome) {
    std::string responses;
    for (const std::string& each : outcome.responses) {
      responses += (responses.empty() ? "\"" : ",\"") + absl::Base64Escape(each) + "\"";
    }
    return "{\"code\":" + std::to_string(outcome.status.error_code()) + ",\"message\":\"" +
           Escaped(outcome.status.error_message()) + "\",\"details\":\"" +
           absl::Base64Escape(outcome.status.error_details()) + "\",\"pushback\":\"" + outcome.pushback +
           "\",\"responses\":[" + responses + "]}";
  }

  grpc::GenericStub stub_;
  const Job& job_;
  const Clock::time_point started_;
  std::mutex mutex_;
  std::int64_t begun_ = 0;
  std::map<int, std::int64_t> codes_;
  std::vector<Outcome> outcomes_;
  std::vector<std::thread> workers_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  simdjson::dom::parser parser;
  const simdjson::dom::element plan = parser.load(argv[1]);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  if (const std::int64_t keepalive = Number(plan, "keepalive_ms", 0); keepalive > 0) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(keepalive));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  bool gzip = false;
  if (plan["gzip"].get(gzip) == simdjson::SUCCESS && gzip) {
    arguments.SetCompressionAlgorithm(GRPC_COMPRESS_GZIP);
  }
  auto credentials = grpc::InsecureChannelCredentials();
  if (!Text(plan, "ca").empty()) {
    arguments.SetSslTargetNameOverride("localhost");
    const bool shows = !Text(plan, "cert").empty();
    credentials = grpc::SslCredentials({ReadFile(Text(plan, "ca")), shows ? ReadFile(Text(plan, "key")) : "",
                                        shows ? ReadFile(Text(plan, "cert")) : ""});
  }
  const auto channel = grpc::CreateCustomChannel(Text(plan, "address"), credentials, arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) return 1;

  std::atomic<int> connects = 1;
  std::atomic<bool> over = false;
  std::thread watcher([&] {
    auto state = channel->GetState(false);
    while (!over) {
      if (!channel->WaitForStateChange(state, std::chrono::system_clock::now() + milliseconds(50))) continue;
      state = channel->GetState(false);
      connects += state == GRPC_CHANNEL_READY ? 1 : 0;
    }
  });
  std::vector<Job> jobs;
  const simdjson::dom::array planned = plan["jobs"].get_array();
  for (const auto each : planned) jobs.push_back(ReadJob(each));
  const auto started = Clock::now();
  std::vector<std::unique_ptr<Run>> runs;
  for (const Job& job : jobs) runs.push_back(std::make_unique<Run>(channel, job, started));
  std::string results;
  for (const auto& run : runs) results += (results.empty() ? "" : ",") + run->Result();
  over = true;
  watcher.join();
  std::cout << "{\"connects\":" << connects << ",\"jobs\":[" << results << "]}\n";
  return 0;
}
