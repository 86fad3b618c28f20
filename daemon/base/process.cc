#include "daemon/base/process.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

#include "daemon/base/key_file.h"
#include "daemon/base/wiping_memory.h"

namespace tokend {

Status HardenProcess() {
  // If this variable is set, libcurl writes the keys of its TLS sessions to the file that it names.
  unsetenv("SSLKEYLOGFILE");
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) < 0) {
      return absl::FailedPreconditionError(
          "standard input, output and error must be open: redirect the unwanted ones to /dev/null");
    }
  }
  const rlimit none{0, 0};
  rlimit limit{};
  if (setrlimit(RLIMIT_CORE, &none) != 0 || getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0) {
    return absl::InternalError("cannot turn off core dumps (setrlimit)");
  }
  if (prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_GET_DUMPABLE) != 0) {
    return absl::InternalError("cannot protect the memory of the process (prctl)");
  }
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return absl::InternalError("cannot ignore SIGPIPE");
  WipeMemoryOfOpenSsl();
  return absl::OkStatus();
}

void RaiseDescriptorLimit() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

Result<Secret> TakeKeyFromEnvironment(const std::string& name) {
  char* const value = std::getenv(name.c_str());
  if (value == nullptr) return absl::FailedPreconditionError(name + ": is not set");
  const std::string_view text(value);
  Result<Secret> key = MakeKey(name, text);
  OPENSSL_cleanse(value, text.size());
  unsetenv(name.c_str());
  return key;
}

}  // namespace tokend
