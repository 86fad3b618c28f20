// The command line of tokenctl. The only source of the client that includes CLI11, because that header takes
// long to compile.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/audit_commands.h"
#include "client/online_commands.h"
#include "client/policy_commands.h"

namespace tokend::client {
namespace {

// A command that needs no daemon.
using OfflineCommand = std::function<Exit(OutputForm)>;

void AddGlobalOptions(CLI::App& app, OnlineArguments& arguments) {
  Options& options = arguments.options;
  app.add_option("--address", options.address,
                 "unix:///path, or host:port (TLS, except to loopback without the options below)")
      ->envname("TOKEND_ADDRESS")
      ->capture_default_str();
  app.add_option("--ca", options.ca_file, "CA certificates, PEM (default: the system's)");
  app.add_option("--cert", options.certificate_file, "client certificate, PEM");
  app.add_option("--key", options.private_key_file, "private key of --cert, PEM");
  app.add_option("--token-file", options.token_file,
                 "file whose content is sent as \"authorization: Bearer ...\"");
  app.add_option("--timeout", arguments.timeout, "for the whole call with its retries, such as 30s or 10m")
      ->capture_default_str();
  app.add_option("--output", arguments.output, "text, json, csv (lists only), or bearer (create only)")
      ->check(CLI::IsMember({"text", "json", "csv", "bearer"}))
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
                     "UUID; the same UUID gets the same token (default: a new one)");
  create->add_flag("--dry-run", request.validate_only, "check the request, create nothing");
  return create;
}

using Files = std::vector<std::string>;

void AddFiles(CLI::App& command, Files& files) {
  command.add_option("FILE", files, "files of audit logs and their copies, in any order, also .gz and .zst")
      ->required();
}

void AddVerify(CLI::App& group, OfflineCommand& command) {
  const auto arguments = std::make_shared<VerifyArguments>();
  CLI::App* verify = group.add_subcommand(
      "verify", "check the chain of each log; exit 8 and the first break where a chain is broken");
  AddFiles(*verify, arguments->files);
  verify->add_option("--public-key", arguments->public_key,
                     "Ed25519 public key, PEM: checkpoints must be signed with its private key");
  verify
      ->add_option("--anchor", arguments->anchors,
                   "SEQ:PREV of a checkpoint that was kept elsewhere; may be repeated")
      ->allow_extra_args(false);
  verify->add_option("--anchors", arguments->anchors_file,
                     "operational log: each of its audit.checkpoint lines is an anchor; -: standard input");
  verify->add_flag("--from-start", arguments->from_start, "each log must begin at seq 1");
  verify->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunVerify(*arguments, form); };
  });
}

void AddFind(CLI::App& group, OfflineCommand& command) {
  const auto files = std::make_shared<Files>();
  const auto arguments = std::make_shared<FindArguments>();
  CLI::App* find =
      group.add_subcommand("find", "print the records that match all options; exit 9 where no record does");
  AddFiles(*find, *files);
  find->add_option("--token", arguments->token, "-: find the records of the token on standard input");
  find->add_option("--fingerprint-key", arguments->fingerprint_key,
                   "the daemon's audit.fingerprint_key_file");
  find->add_option("--token-id", arguments->token_ids, "Applivery's id of the token; may be repeated")
      ->allow_extra_args(false);
  find->add_option("--request-id", arguments->request_id, "UUID");
  find->add_option("--caller", arguments->caller, "name or pattern, as in a grant");
  find->add_option("--app", arguments->application, "name, id or pattern: as asked for, or Applivery's id");
  find->add_option("--org", arguments->organization, "name, id or pattern: as asked for, or Applivery's id");
  find->add_option("--grant", arguments->grant, "name or pattern of the grant that decided");
  find->add_option("--event", arguments->event, "such as token.issued");
  find->add_option("--since", arguments->since,
                   "records from then on: an RFC 3339 time, a date (UTC), or an age such as 7d");
  find->add_option("--until", arguments->until, "records before then, in the same forms");
  find->callback([files, arguments, &command] {
    command = [files, arguments](OutputForm form) { return RunFind(*files, *arguments, form); };
  });
}

void AddUnresolved(CLI::App& group, OfflineCommand& command) {
  const auto files = std::make_shared<Files>();
  CLI::App* unresolved = group.add_subcommand(
      "unresolved",
      "print the tokens to look for in the Applivery dashboard: token.withheld, and each token.unknown and "
      "intent without an end that no later token.issued resolves; exit 9 where there are none, 8 where a "
      "line cannot be read");
  AddFiles(*unresolved, *files);
  unresolved->callback(
      [files, &command] { command = [files](OutputForm form) { return RunUnresolved(*files, form); }; });
}

void AddAuditCommands(CLI::App& app, OfflineCommand& command) {
  CLI::App* group = app.add_subcommand("audit", "read audit logs, without a daemon");
  group->require_subcommand(1);
  AddVerify(*group, command);
  AddFind(*group, command);
  AddUnresolved(*group, command);
}

// The form of the output of a command that needs no daemon.
OutputForm FormOf(const std::string& output) {
  if (output == "csv") return OutputForm::kCsv;
  return output == "json" ? OutputForm::kJson : OutputForm::kText;
}

void AddPolicyCommands(CLI::App& app, OfflineCommand& command) {
  const auto arguments = std::make_shared<PolicyArguments>();
  CLI::App* group = app.add_subcommand("policy", "ask a configuration's policy, without a daemon");
  group->require_subcommand(1);

  CLI::App* explain = group->add_subcommand(
      "explain",
      "say which grant decides, and why each other grant does not; exit 5 where the request is denied");
  explain->add_option("--config", arguments->config, "the daemon's configuration")->required();
  explain->add_option("--caller", arguments->caller, "the caller's full name")->required();
  explain->add_option("--app", arguments->application, "application: id or slug")->required();
  explain->add_option("--org", arguments->organization, "organization (default: the only one configured)");
  explain->add_option("--scope", arguments->scopes, "may be repeated (default: the grant's default scopes)")
      ->allow_extra_args(false);
  explain->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunExplain(*arguments, form); };
  });

  CLI::App* replay = group->add_subcommand(
      "replay",
      "print the recorded requests that this policy would decide otherwise, by caller; exit 0 whether there "
      "are any or not, 9 where the files hold no decision. Each request is decided anew with the scopes that "
      "it was granted");
  replay->add_option("--config", arguments->config, "the configuration whose policy decides")->required();
  replay
      ->add_option("--audit", arguments->files,
                   "files of audit logs and their copies, in any order, also .gz and .zst")
      ->required();
  replay->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunReplay(*arguments, form); };
  });
}

// Opens /dev/null in place of closed standard files. Otherwise a file or socket of gRPC could get the number
// of standard output, and receive the bearer.
void OccupyClosedStandardFiles() {
  int fd = 0;
  do {
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

int Main(int argc, char** argv) {
  OnlineArguments arguments;
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
  app.fallthrough();  // global options may also follow the command
  AddGlobalOptions(app, arguments);
  OnlineCommand command = nullptr;
  AddCreate(app, arguments.create)->callback([&] { command = Create; });
  app.add_subcommand("whoami",
                     "say who the daemon takes you for, what you may do, and what is left of your limits")
      ->callback([&] { command = WhoAmI; });
  app.add_subcommand("health", "say whether the daemon serves")->callback([&] { command = CheckHealth; });
  OfflineCommand offline;
  AddAuditCommands(app, offline);
  AddPolicyCommands(app, offline);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (!offline && arguments.output == "csv") return UsageError("--output: csv is for lists alone");
  if (!offline) return RunOnline(command, arguments);
  if (arguments.output == "bearer") return UsageError("--output: bearer is for create alone");
  return offline(FormOf(arguments.output));
}

}  // namespace
}  // namespace tokend::client

int main(int argc, char** argv) {
  tokend::client::OccupyClosedStandardFiles();
  // A closed pipe must be an error that is reported, because the token exists.
  std::signal(SIGPIPE, SIG_IGN);
  // Keeps gRPC's log lines off standard error, unless the variable is set.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  return tokend::client::Main(argc, argv);
}
