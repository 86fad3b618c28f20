#include "tests/system/tokend_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace tokend::system {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// The upstream of the configuration, with the file that holds its API key.
std::string Upstream(const fakes::TemporaryFolder& folder, const Tokend::Options& options) {
  if (!options.centre.empty()) return "  tokend:\n" + options.centre;
  WriteFile(folder / "api-key", options.key + "\n");
  return "  applivery:\n    base_url: " + options.base_url + "\n" +
         (options.ca_file.empty() ? "" : "    ca_file: " + options.ca_file + "\n") + options.upstream +
         "    organizations:\n      - name: acme\n        api_key: " +
         Replaced(options.api_key, "KEYFILE", folder / "api-key") + "\n" + options.organization;
}

}  // namespace

std::string ReadFile(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

void WriteFile(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream(path, std::ios::binary) << text;
  if (chmod(path.c_str(), mode) != 0) throw std::runtime_error("cannot chmod " + path);
}

bool Eventually(const std::function<bool()>& holds, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    constexpr timespec kBreath{0, 2'000'000};
    nanosleep(&kBreath, nullptr);
  }
  return true;
}

Process::Process(std::vector<std::string> command, const std::map<std::string, std::string>& environment,
                 std::string out_file, std::string err_file)
    : out_file_(std::move(out_file)), err_file_(std::move(err_file)) {
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  for (const std::string name : {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
    const char* value = std::getenv(name.c_str());
    if (value != nullptr && environment.count(name) == 0) variables.push_back(name + "=" + value);
  }
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, out_file_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_addopen(&files, 2, err_file_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int failed = posix_spawnp(&pid_, command[0].c_str(), &files, nullptr, Pointers(command).data(),
                                  Pointers(variables).data());
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) throw std::runtime_error("cannot start " + command[0]);
}

Process::~Process() {
  if (!running()) return;
  Signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Process::Signal(int signal) const { kill(pid_, signal); }

std::optional<int> Process::Poll() {
  int status = 0;
  if (!exit_ && waitpid(pid_, &status, WNOHANG) == pid_) {
    exit_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return exit_;
}

std::optional<int> Process::Wait(std::chrono::seconds limit) {
  Eventually([this] { return Poll().has_value(); }, limit);
  return exit_;
}

Ended RunProgram(std::vector<std::string> command, const std::map<std::string, std::string>& environment,
                 std::chrono::seconds limit) {
  const fakes::TemporaryFolder folder;
  Process process(std::move(command), environment, folder / "out", folder / "err");
  const std::optional<int> exit = process.Wait(limit);
  return {exit.value_or(-1), process.out(), process.err()};
}

std::vector<std::string> AsUser(uid_t uid, std::vector<std::string> command) {
  const std::string id = std::to_string(uid);
  std::vector<std::string> prefixed = {"/usr/bin/setpriv", "--reuid=" + id, "--regid=" + id,
                                       "--clear-groups"};
  prefixed.insert(prefixed.end(), command.begin(), command.end());
  return prefixed;
}

std::string SharedProgram(const fakes::TemporaryFolder& folder, const std::string& name) {
  std::filesystem::permissions(folder / "", std::filesystem::perms(0755));
  std::filesystem::copy_file(Program(name), folder / name, std::filesystem::copy_options::skip_existing);
  return folder / name;
}

std::string Program(const std::string& name) { return std::string(TOKEND_BINARIES) + "/" + name; }

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> AuditFiles(const std::string& folder) {
  constexpr std::size_t kNumberEnd = std::string_view("audit-").size() + 20;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("audit-", 0) == 0) names.push_back(name);
  }
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a.substr(0, kNumberEnd), a.size()) < std::pair(b.substr(0, kNumberEnd), b.size());
  });
  names.emplace_back("audit.jsonl");
  for (std::string& name : names) name.insert(0, folder + "/");
  return names;
}

std::vector<std::string> AuditRecords(const std::string& folder) {
  constexpr std::string_view kBegin = "{\"seq\":";
  std::vector<std::string> records;  // newest first
  std::uint64_t limit = UINT64_MAX;
  const std::vector<std::string> files = AuditFiles(folder);
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    const std::string text = ReadFile(*file);
    std::vector<std::string> lines = Lines(text.substr(0, text.rfind('\n') + 1));
    std::uint64_t first = limit;
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
      if (line->rfind(kBegin, 0) != 0 || line->back() != '}') continue;
      const std::uint64_t sequence = std::stoull(line->substr(kBegin.size()));
      if (sequence >= limit) continue;
      first = std::min(first, sequence);
      records.push_back(std::move(*line));
    }
    limit = first;
  }
  std::reverse(records.begin(), records.end());
  return records;
}

std::string LineWith(const std::string& log, const std::vector<std::string>& words) {
  for (const std::string& line : Lines(log)) {
    bool all = true;
    for (const std::string& word : words) all = all && line.find(word) != std::string::npos;
    if (all) return line;
  }
  return "";
}

std::string Field(const std::string& line, const std::string& name) {
  const std::string key = "\"" + name + "\":\"";
  const std::size_t at = line.find(key);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + key.size();
  return line.substr(begin, line.find('"', begin) - begin);
}

Tokend::Tokend(const fakes::TemporaryFolder& folder, const Options& options)
    : folder_(folder),
      environment_(options.environment),
      out_(options.out),
      config_file_(folder / "tokend.yaml") {
  const std::string listeners = options.listeners.empty()
                                    ? "  - name: local\n    address: unix://" + (folder / "tokend.sock") +
                                          "\n    authentication: {none: {caller: ci}}\n"
                                    : options.listeners;
  WriteFile(config_file_,
            "listeners:\n" + listeners + "upstream:\n" + Upstream(folder, options) +
                "policy:\n  grants:\n    - name: everyone\n      callers: [\"ci\", \"ci-*\", \"unix:*\", "
                "\"spiffe://test.example/**\"]\n      applications: [\"*\"]\n      scopes: [sdk, beta]\n"
                "      default_scopes: [sdk]\n" +
                options.grant + "audit: {" + Replaced(options.audit, "FOLDER", folder / "") +
                "}\nadmin: {address: \"127.0.0.1:0\"}\n" + options.more);
  if (options.descriptors > 0) {
    const std::string limit = std::to_string(options.descriptors);
    prefix_ = {"/usr/bin/prlimit", "--nofile=" + limit + ":" + limit};
  }
  if (options.uid) {
    as_user_ = AsUser(*options.uid, {SharedProgram(folder, "tokend")});
    if (chown((folder / "").c_str(), *options.uid, *options.uid) != 0) {
      throw std::runtime_error("cannot give the folder away");
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder / "")) {
      if (entry.is_regular_file() && lchown(entry.path().c_str(), *options.uid, *options.uid) != 0) {
        throw std::runtime_error("cannot chown " + entry.path().string());
      }
    }
  }
  if (!TryRestart(options.program, environment_)) throw std::runtime_error(WhyNotServing());
}

bool Tokend::TryRestart(const std::string& program, const std::map<std::string, std::string>& environment) {
  static int starts = 0;  // gives each start its own log file
  const std::string run = std::to_string(++starts);
  std::vector<std::string> command = as_user_.empty() ? std::vector<std::string>{Program(program)} : as_user_;
  command.insert(command.end(), {"--config", config_file_});
  command.insert(command.begin(), prefix_.begin(), prefix_.end());
  process_.reset();  // the daemon before it holds the audit log
  process_ =
      std::make_unique<Process>(std::move(command), environment,
                                out_.empty() ? folder_ / ("out" + run) : out_, folder_ / ("err" + run));
  const bool serves = Eventually(
      [this] { return !process_->running() || !LineWith(log(), {"\"event\":\"serving\""}).empty(); });
  log_at_start_ = log();
  return serves && process_->running();
}

std::string Tokend::WhyNotServing() {
  const std::optional<int> exit = process_->Wait(std::chrono::seconds(0));
  return "tokend does not serve, " +
         (exit ? "it ended with " + std::to_string(*exit) : std::string("but it runs")) + ": " + log();
}

void Tokend::Restart() {
  if (!TryRestart("tokend", environment_)) throw std::runtime_error(WhyNotServing());
}

std::string Tokend::audit() const { return ReadFile(folder_ / "audit.jsonl"); }

std::vector<std::string> Tokend::events() const {
  std::vector<std::string> events;
  for (const std::string& line : Lines(audit())) events.push_back(Field(line, "event"));
  return events;
}

std::string Tokend::address(const std::string& listener) const {
  return Field(LineWith(log_at_start_, {"\"event\":\"listening\"", "\"listener\":\"" + listener + "\""}),
               "address");
}

std::string Tokend::Get(const std::string& path) const {
  const std::string address_text = address("admin");
  const auto port = static_cast<std::uint16_t>(std::stoi(address_text.substr(address_text.rfind(':') + 1)));
  const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{10, 0};
  setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  std::string answer;
  if (connect(socket_fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    if (send(socket_fd, request.data(), request.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(request.size())) {
      char buffer[4096];
      for (ssize_t got = 0; (got = recv(socket_fd, buffer, sizeof(buffer), 0)) > 0;) {
        answer.append(buffer, static_cast<std::size_t>(got));
      }
    }
  }
  close(socket_fd);
  return answer;
}

}  // namespace tokend::system
