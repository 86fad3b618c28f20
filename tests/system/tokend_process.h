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

// Asks until it holds. False if `limit` passes first.
bool Eventually(const std::function<bool()>& holds, std::chrono::seconds limit = std::chrono::seconds(20));

// A program that a test started. Ended with SIGKILL if it still runs at the end.
class Process {
 public:
  // Standard output and error go to files; the environment is `environment` alone, and what tells sanitizers
  // how to work.
  Process(std::vector<std::string> command, const std::map<std::string, std::string>& environment,
          std::string out_file, std::string err_file);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  std::string out() const { return ReadFile(out_file_); }
  std::string err() const { return ReadFile(err_file_); }

  void Signal(int signal) const;
  // The exit code, or minus the signal that ended it; nothing if `limit` passes first.
  std::optional<int> Wait(std::chrono::seconds limit = std::chrono::seconds(30));
  bool running() { return !Poll(); }

 private:
  std::optional<int> Poll();

  std::string out_file_;
  std::string err_file_;
  pid_t pid_ = -1;
  std::optional<int> exit_;
};

// A program run to its end.
struct Ended {
  int exit = -1;
  std::string out;
  std::string err;
};
Ended RunProgram(std::vector<std::string> command, const std::map<std::string, std::string>& environment = {},
                 std::chrono::seconds limit = std::chrono::seconds(60));

// The command, run as another user. For root's tests.
std::vector<std::string> AsUser(uid_t uid, std::vector<std::string> command);

// The path of a program of this build.
std::string Program(const std::string& name);
// A copy of one that every user can reach, in a folder that is opened to them.
std::string SharedProgram(const fakes::TemporaryFolder& folder, const std::string& name);

// The first line of the JSON log that holds all of the words, or "".
std::string LineWith(const std::string& log, const std::vector<std::string>& words);
// A string field's value in a line of JSON, as written.
std::string Field(const std::string& line, const std::string& name);
std::vector<std::string> Lines(const std::string& text);

// The audit log's files in the folder, in the order in which they were written.
std::vector<std::string> AuditFiles(const std::string& folder);
// Their records, without what a later file begins again and without what is no whole line.
std::vector<std::string> AuditRecords(const std::string& folder);

// The real daemon, on a configuration whose parts a test may replace. All its files are in `folder`.
class Tokend {
 public:
  struct Options {
    std::string base_url;
    std::string ca_file;
    std::string listeners;      // YAML; empty: one unix socket, caller "ci"
    std::string upstream = {};  // further keys of upstream.applivery, YAML at four spaces
    std::string api_key = "{file: KEYFILE}";
    std::string organization = {};  // further keys of the one organization, YAML at eight spaces
    std::string grant = {};         // further keys of the one grant, YAML at six spaces
    std::string more = {};          // further top-level keys
    std::map<std::string, std::string> environment = {};
    std::string key = "fake-api-key";
    std::optional<uid_t> uid = {};  // root's tests: runs as this user, whose all its files then are
    int descriptors = 0;            // how many it may have open; 0: as many as the test
    std::string audit = "file: {path: FOLDER/audit.jsonl}";  // the keys of audit
    std::string out = {};                                    // where standard output goes; empty: a file
    std::string program = "tokend";
  };

  // Starts it and waits until it serves.
  Tokend(const fakes::TemporaryFolder& folder, const Options& options);

  // Stops being the owner of a process that ended; starts another on the same files.
  void Restart();
  // The same, of this program with this environment. False if it ended before it served.
  bool TryRestart(const std::string& program, const std::map<std::string, std::string>& environment);

  Process& process() { return *process_; }
  std::string log() const { return process_->err(); }
  std::string audit() const;
  std::vector<std::string> events() const;
  // "unix:///…" or "127.0.0.1:PORT".
  std::string address(const std::string& listener = "local") const;
  std::string Get(const std::string& path) const;  // the admin page's answer, header and all
  const std::string& config_file() const { return config_file_; }

 private:
  std::string WhyNotServing();

  const fakes::TemporaryFolder& folder_;
  const std::map<std::string, std::string> environment_;
  std::vector<std::string> as_user_;  // the command, where it runs as another user
  std::vector<std::string> prefix_;   // what the command is run by
  const std::string out_;
  std::string config_file_;
  std::unique_ptr<Process> process_;
  std::string log_at_start_;  // with every address; later it grows by a line a call
};

}  // namespace tokend::system
