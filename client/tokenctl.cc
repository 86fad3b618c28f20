#include <absl/time/time.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "client/client.h"
#include "client/commands.h"
#include "client/exit.h"
#include "client/output.h"

namespace tokend::client {

void PrintError(const std::string& text) { std::fputs(("tokenctl: " + text).c_str(), stderr); }

bool Print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

namespace {

struct Arguments {
  Options options;
  std::string timeout = "60s";
  std::string output = "text";
  CreateRequest create;
};

int ExitFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
      return kInvalidRequest;
    case absl::StatusCode::kUnauthenticated:
      return kUnauthenticated;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kNotFound:
      return kNotPermitted;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return kRetryLater;
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return kOutcomeUnknown;
    default:
      return kFailed;
  }
}

int UsageError(const std::string& message) {
  PrintError(message + "\n");
  return kUsage;
}

// Prints the result, and wipes it: it can hold a bearer.
int PrintResult(std::string result, const std::string& request_id) {
  const bool written = Print(result);
  OPENSSL_cleanse(result.data(), result.size());
  if (written) return kDone;
  PrintError("the result could not be written to standard output\n");
  if (!request_id.empty()) {
    PrintError("the token exists: for the same one ask again with --request-id " + request_id + "\n");
  }
  return kFailed;
}

int Fail(const Status& status) {
  PrintError(ToText(status));
  return ExitFor(status.code());
}

int Create(Client& client, const Arguments& arguments) {
  const Result<Token> token = client.CreateToken(arguments.create);
  if (!token.ok()) {
    const int exit = Fail(token.status());
    const ErrorDetails details = DetailsOf(token.status());
    const bool may_exist = exit == kOutcomeUnknown || (exit == kRetryLater && details.reason.empty());
    if (may_exist && !details.request_id.empty()) {
      PrintError("a token may exist; to get it, ask again with this --request-id, not with a new one\n");
    }
    return exit;
  }
  const std::string request_id = token->id.empty() ? "" : token->request_id;
  if (arguments.output == "json") return PrintResult(ToJson(*token), request_id);
  if (arguments.output == "bearer")
    return PrintResult(std::string(token->bearer.Expose()) + "\n", request_id);
  return PrintResult(ToText(*token), request_id);
}

int WhoAmI(Client& client, const Arguments& arguments) {
  const Result<CallerInfo> info = client.GetCaller();
  if (!info.ok()) return Fail(info.status());
  return PrintResult(arguments.output == "json" ? ToJson(*info) : ToText(*info), {});
}

int CheckHealth(Client& client, const Arguments& arguments) {
  const Result<Health> health = client.CheckHealth();
  if (!health.ok()) {
    const int exit = Fail(health.status());
    // Nothing was to be created: without an answer the daemon is just not known to serve.
    return exit == kOutcomeUnknown ? kRetryLater : exit;
  }
  const int exit = PrintResult(arguments.output == "json" ? ToJson(*health) : ToText(*health), {});
  return exit == kDone && *health != Health::kServing ? kRetryLater : exit;
}

using Command = int (*)(Client&, const Arguments&);

int Run(Command command, Arguments& arguments) {
  absl::Duration timeout;
  if (!absl::ParseDuration(arguments.timeout, &timeout)) {
    return UsageError("timeout: a duration such as 250ms, 30s or 10m");
  }
  arguments.options.timeout = absl::ToChronoMilliseconds(timeout);
  if (arguments.output == "bearer" && command != Create)
    return UsageError("output: bearer is for create alone");
  if (arguments.output == "bearer" && arguments.create.validate_only) {
    return UsageError("output: a --dry-run has no bearer; choose text or json");
  }
  Result<Client> client = Client::Connect(arguments.options);
  if (!client.ok()) return UsageError(std::string(client.status().message()));
  return command(*client, arguments);
}

void AddGlobalOptions(CLI::App& app, Arguments& arguments) {
  Options& options = arguments.options;
  app.add_option("--address", options.address,
                 "unix:///path, or host:port (TLS, but on loopback without the options below)")
      ->envname("TOKEND_ADDRESS")
      ->capture_default_str();
  app.add_option("--ca", options.ca_file, "CA certificates, PEM (default: the system's)");
  app.add_option("--cert", options.certificate_file, "client certificate, PEM");
  app.add_option("--key", options.private_key_file, "private key of --cert, PEM");
  app.add_option("--token-file", options.token_file,
                 "file whose content is sent as \"authorization: Bearer ...\"");
  app.add_option("--timeout", arguments.timeout, "of the whole call, retries included")
      ->capture_default_str();
  app.add_option("--output", arguments.output, "text, json or, for create, bearer")
      ->check(CLI::IsMember({"text", "json", "bearer"}))
      ->capture_default_str();
}

CLI::App* AddCreate(CLI::App& app, CreateRequest& request) {
  CLI::App* create = app.add_subcommand("create", "create a token and print it");
  create->add_option("--app", request.application, "application: id or slug")->required();
  create->add_option("--org", request.organization,
                     "organization: id or slug (default: the only one configured)");
  create->add_option("--scope", request.scopes, "may be repeated (default: the grant's default scopes)")
      ->allow_extra_args(false);
  create->add_option("--description", request.description, "at most 1000 UTF-16 code units");
  create->add_option("--request-id", request.request_id,
                     "UUID: the same one gets the same token (default: a new one)");
  create->add_flag("--dry-run", request.validate_only, "decide everything, create nothing");
  return create;
}

// A closed standard output would become one of gRPC's files, and take the bearer.
void OccupyClosedStandardFiles() {
  int fd = 0;
  do {
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Asks a tokend for Applivery integration tokens.", "tokenctl");
  app.set_version_flag("--version", "tokenctl " TOKEND_VERSION);
  app.footer(
      "Exit: 0 done; 1 failed; 2 usage or configuration; 3 invalid request; 4 not authenticated;\n"
      "5 not permitted or not found; 6 limited or unavailable, retry later (health: not SERVING);\n"
      "7 outcome unknown, do not retry with a new request_id; 8 verification failed; 9 nothing found");
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return "tokenctl: " + CLI::FailureMessage::simple(failed, error);
  });
  app.require_subcommand(1);
  app.fallthrough();  // inherited by the commands: global options may follow them
  AddGlobalOptions(app, arguments);
  Command command = nullptr;
  AddCreate(app, arguments.create)->callback([&] { command = Create; });
  app.add_subcommand("whoami", "who the daemon takes you for, what you may and how much is left")
      ->callback([&] { command = WhoAmI; });
  app.add_subcommand("health", "whether the daemon serves")->callback([&] { command = CheckHealth; });
  OfflineCommand offline;
  AddAuditCommands(app, offline);
  AddPolicyCommands(app, offline);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (!offline) return Run(command, arguments);
  if (arguments.output == "bearer") return UsageError("output: bearer is for create alone");
  return offline(arguments.output == "json" ? OutputForm::kJson : OutputForm::kText);
}

}  // namespace
}  // namespace tokend::client

int main(int argc, char** argv) {
  tokend::client::OccupyClosedStandardFiles();
  // A reader that has gone is an error to report: the token exists.
  std::signal(SIGPIPE, SIG_IGN);
  // gRPC's own log lines would stand between the errors. Whoever sets the variable wants them.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  return tokend::client::Main(argc, argv);
}
