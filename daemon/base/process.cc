#include "daemon/base/process.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

#include "daemon/base/key_file.h"

namespace tokend {
namespace {

// Variables by which libraries are told to write what passes through TLS to a file or to standard error:
// libcurl's session keys, and gRPC's traces of every message.
constexpr const char* kTelltales[] = {"SSLKEYLOGFILE", "GRPC_TRACE", "GRPC_VERBOSITY"};

}  // namespace

Status HardenProcess() {
  for (const char* name : kTelltales) unsetenv(name);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) < 0) {
      return absl::FailedPreconditionError(
          "standard input, output and error must be open: redirect to /dev/null what is not wanted");
    }
  }
  const rlimit none{0, 0};
  rlimit limit{};
  if (setrlimit(RLIMIT_CORE, &none) != 0 || getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0) {
    return absl::InternalError("core dumps cannot be turned off (setrlimit)");
  }
  if (prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_GET_DUMPABLE) != 0) {
    return absl::InternalError("the process's memory cannot be protected (prctl)");
  }
  if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return absl::InternalError("SIGPIPE cannot be ignored");
  return absl::OkStatus();
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
