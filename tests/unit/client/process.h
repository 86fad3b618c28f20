#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fakes/temporary_folder.h"

namespace tokend::client {

struct Ended {
  int exit = -1;
  std::string out;
  std::string err;
};

// Runs a program to its end, with standard input closed and no environment but `environment`.
// `out`: where standard output goes instead of into the result.
inline Ended RunProgram(std::vector<std::string> command, std::vector<std::string> environment = {},
                        const std::string& out = "") {
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (std::string& string : strings) result.push_back(string.data());
    result.push_back(nullptr);
    return result;
  };
  const fakes::TemporaryFolder folder;
  const std::string out_file = out.empty() ? folder / "out" : out;
  const std::string err_file = folder / "err";
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, out_file.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&files, 2, err_file.c_str(), O_WRONLY | O_CREAT, 0600);
  pid_t pid = 0;
  const int spawned = posix_spawn(&pid, command[0].c_str(), &files, nullptr, pointers(command).data(),
                                  pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  Ended ended;
  int status = 0;
  if (spawned != 0 || waitpid(pid, &status, 0) != pid) return ended;
  if (WIFEXITED(status)) ended.exit = WEXITSTATUS(status);
  const auto read = [](const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  if (out.empty()) ended.out = read(out_file);
  ended.err = read(err_file);
  return ended;
}

}  // namespace tokend::client
