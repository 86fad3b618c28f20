#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/temporary_folder.h"

namespace tokend::system {

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& text, mode_t mode = 0600);

// Checks the condition until it holds. Returns false if it does not hold within `limit`.
bool Eventually(const std::function<bool()>& holds, std::chrono::seconds limit = std::chrono::seconds(20));

// A program that a test has started. The destructor kills it if it still runs.
class Process {
 public:
  // Standard output and error go to files. The environment is `environment` and the options of sanitizers.
  Process(std::vector<std::string> command, const std::map<std::string, std::string>& environment,
          std::string out_file, std::string err_file);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  std::string out() const { return ReadFile(out_file_); }
  std::string err() const { return ReadFile(err_file_); }

  void Signal(int signal) const;
  // The exit code, or the negative number of the signal that ended it. Nothing if it still runs after
  // `limit`.
  std::optional<int> Wait(std::chrono::seconds limit = std::chrono::seconds(30));
  bool running() { return !Poll(); }

 private:
  std::optional<int> Poll();

  std::string out_file_;
  std::string err_file_;
  pid_t pid_ = -1;
  std::optional<int> exit_;
};

// The result of a program that has ended.
struct Ended {
  int exit = -1;
  std::string out;
  std::string err;
};
Ended RunProgram(std::vector<std::string> command, const std::map<std::string, std::string>& environment = {},
                 std::chrono::seconds limit = std::chrono::seconds(60));

// The command that runs `command` as another user. Only root can run it.
std::vector<std::string> AsUser(uid_t uid, std::vector<std::string> command);

// The path of a program of this build.
std::string Program(const std::string& name);
// A copy of a program of this build in `folder`, which this makes readable for every user.
std::string SharedProgram(const fakes::TemporaryFolder& folder, const std::string& name);

// The first line of the JSON log that contains all of the words, or "".
std::string LineWith(const std::string& log, const std::vector<std::string>& words);
// The value of a string field in a line of JSON, with its escapes.
std::string Field(const std::string& line, const std::string& name);
std::vector<std::string> Lines(const std::string& text);

// The audit log's files in the folder, in the order in which they were written.
std::vector<std::string> AuditFiles(const std::string& folder);
// The records of these files, without incomplete lines and without the records that a later file repeats.
std::vector<std::string> AuditRecords(const std::string& folder);

// The real daemon. A test may replace parts of its configuration. All its files are in `folder`.
class Tokend {
 public:
  struct Options {
    std::string base_url;
    std::string ca_file;
    std::string listeners;      // YAML; empty: one unix socket, caller "ci"
    std::string upstream = {};  // further keys of upstream.applivery, YAML at four spaces
    std::string centre = {};    // the keys of upstream.tokend in place of upstream.applivery
    std::string api_key = "{file: KEYFILE}";
    std::string organization = {};  // further keys of the one organization, YAML at eight spaces
    std::string grant = {};         // further keys of the one grant, YAML at six spaces
    std::string more = {};          // further top-level keys
    std::map<std::string, std::string> environment = {};
    std::string key = "fake-api-key";
    std::optional<uid_t> uid = {};  // for tests as root: the user that runs it and owns its files
    int descriptors = 0;            // its limit of open files; 0: the test's own limit
    std::string audit = "file: {path: FOLDER/audit.jsonl}";  // the keys of audit
    std::string out = {};  // the file of standard output; empty: one in `folder`
    std::string program = "tokend";
  };

  // Starts the daemon and waits until it serves.
  Tokend(const fakes::TemporaryFolder& folder, const Options& options);

  // Starts the daemon again on the same files. The process before must have ended.
  void Restart();
  // The same with this program and this environment. Returns false if it ended before it served.
  bool TryRestart(const std::string& program, const std::map<std::string, std::string>& environment);

  Process& process() { return *process_; }
  std::string log() const { return process_->err(); }
  std::string audit() const;
  std::vector<std::string> events() const;
  // "unix:///…" or "127.0.0.1:PORT".
  std::string address(const std::string& listener = "local") const;
  std::string Get(const std::string& path) const;  // the admin page's answer with its header
  const std::string& config_file() const { return config_file_; }

 private:
  std::string WhyNotServing();

  const fakes::TemporaryFolder& folder_;
  const std::map<std::string, std::string> environment_;
  std::vector<std::string> as_user_;  // the start of the command if it runs as another user
  std::vector<std::string> prefix_;   // the program that runs the command
  const std::string out_;
  std::string config_file_;
  std::unique_ptr<Process> process_;
  std::string log_at_start_;  // has every address; the log later grows with each call
};

}  // namespace tokend::system
