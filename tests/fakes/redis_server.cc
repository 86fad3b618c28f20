#include "tests/fakes/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tokend::fakes {
namespace {

constexpr std::chrono::seconds kStartLimit{10};
constexpr timespec kBreath{0, 2'000'000};

struct Free {
  void operator()(redisContext* context) const { redisFree(context); }
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};

std::string Text(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      return std::to_string(reply.integer);
    case REDIS_REPLY_ARRAY: {
      std::string lines;
      for (std::size_t i = 0; i < reply.elements; ++i) {
        lines.append(i == 0 ? "" : "\n").append(Text(*reply.element[i]));
      }
      return lines;
    }
    case REDIS_REPLY_NIL:
      return "";
    default:
      return {reply.str, reply.len};
  }
}

// A port that is free now: another process could take it before the server does, but hardly will.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

RedisServer::RedisServer(Options options) : options_(std::move(options)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "tokend-redis-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = pattern;
  socket_ = folder_ + "/redis.sock";
  if (options_.door != Door::kUnix) port_ = FreePort();
  Start();
}

RedisServer::~RedisServer() {
  Kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void RedisServer::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RedisServer::Start() {
  const bool tls = options_.door == Door::kTls;
  std::vector<std::string> command = {"redis-server", "--port",    std::to_string(tls ? 0 : port_),
                                      "--bind",       "127.0.0.1", "--unixsocket",
                                      socket_,        "--dir",     folder_,
                                      "--save",       "",          "--logfile",
                                      log()};
  if (tls) command.insert(command.end(), {"--tls-port", std::to_string(port_)});
  command.insert(command.end(), options_.settings.begin(), options_.settings.end());
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (std::string& word : command) words.push_back(word.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  for (const int fd : {0, 1, 2}) posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  const int failed = posix_spawnp(&pid_, words[0], &files, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) {
    pid_ = -1;
    throw std::runtime_error("redis-server cannot be started: deploy/install-dependencies --tests");
  }
  const auto end = std::chrono::steady_clock::now() + kStartLimit;
  const auto answers = [this] {
    const std::string answer = Ask({"PING"});
    return answer == "PONG" || answer.rfind("NOAUTH", 0) == 0;
  };
  while (!answers()) {
    if (std::chrono::steady_clock::now() > end) {
      Kill();
      throw std::runtime_error("redis-server does not answer; its log is in " + folder_);
    }
    nanosleep(&kBreath, nullptr);
  }
}

void RedisServer::StartEmpty() {
  for (const char* saved : {"appendonlydir", "dump.rdb"}) std::filesystem::remove_all(folder_ + "/" + saved);
  Start();
}

void RedisServer::Pause() { kill(pid_, SIGSTOP); }
void RedisServer::Resume() { kill(pid_, SIGCONT); }

std::string RedisServer::Ask(const std::vector<std::string>& command) const {
  const std::unique_ptr<redisContext, Free> context(redisConnectUnix(socket_.c_str()));
  if (context == nullptr || context->err != 0) return "";
  std::vector<const char*> words;
  std::vector<std::size_t> lengths;
  for (const std::string& word : command) {
    words.push_back(word.data());
    lengths.push_back(word.size());
  }
  const std::unique_ptr<redisReply, Free> reply(static_cast<redisReply*>(
      redisCommandArgv(context.get(), static_cast<int>(words.size()), words.data(), lengths.data())));
  return reply == nullptr ? "" : Text(*reply);
}

std::string RedisServer::address() const {
  return port_ == 0 ? "unix://" + socket_ : "127.0.0.1:" + std::to_string(port_);
}

}  // namespace tokend::fakes
