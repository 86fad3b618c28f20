// The command line of tokenctl. The only source of the client that includes CLI11, because that header takes
// long to compile.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/audit_commands.h"
#include "client/completion.h"
#include "client/nearest_word.h"
#include "client/online_commands.h"
#include "client/policy_commands.h"

namespace tokend::client {
namespace {

// A command that needs no daemon.
using OfflineCommand = std::function<Exit(OutputForm)>;

// Accepts one of the words, and answers another with the nearest of them.
std::function<std::string(const std::string&)> OneOf(const std::vector<std::string>& words) {
  return [words](const std::string& word) -> std::string {
    if (std::find(words.begin(), words.end(), word) != words.end()) return {};
    return "must be one of " + CLI::detail::join(words, ", ") + "; did you mean " + NearestWord(word, words) +
           "?";
  };
}

void AddGlobalOptions(CLI::App& app, OnlineArguments& arguments) {
  Options& options = arguments.options;
  app.add_option("--address", options.address,
                 "unix:///path, or host:port (TLS, except to loopback without the options below) "
                 "[$TOKEND_ADDRESS]")
      ->capture_default_str();
  app.add_option("--ca", options.ca_file, "CA certificates, PEM (default: the system's) [$TOKEND_CA]");
  app.add_option("--cert", options.certificate_file, "client certificate, PEM [$TOKEND_CERT]");
  app.add_option("--key", options.private_key_file, "private key of --cert, PEM [$TOKEND_KEY]");
  app.add_option("--token-file", options.token_file,
                 "file whose content is sent as \"authorization: Bearer ...\" [$TOKEND_TOKEN_FILE]");
  app.add_option("--timeout", arguments.timeout,
                 "for the whole call: until then it waits for the daemon and tries again, such as 30s or 10m "
                 "(health: without this option, asks once within 1s) [$TOKEND_TIMEOUT]")
      ->capture_default_str();
  app.add_option("--output", arguments.output, "text, json, csv (lists only), or bearer (create only)")
      ->check(OneOf({"text", "json", "csv", "bearer"}))
      ->capture_default_str();
}

// Takes the options that were not given from their variables. With a unix socket those for TLS are left
// alone: they may be meant for other addresses.
void ReadVariables(const CLI::App& app, OnlineArguments& arguments) {
  const auto read = [&](const char* option, const char* variable, std::string& value) {
    const char* text = std::getenv(variable);
    if (text != nullptr && *text != '\0' && app.count(option) == 0) value = text;
  };
  Options& options = arguments.options;
  read("--address", "TOKEND_ADDRESS", options.address);
  read("--timeout", "TOKEND_TIMEOUT", arguments.timeout);
  if (options.address.starts_with("unix:")) return;
  read("--ca", "TOKEND_CA", options.ca_file);
  read("--cert", "TOKEND_CERT", options.certificate_file);
  read("--key", "TOKEND_KEY", options.private_key_file);
  read("--token-file", "TOKEND_TOKEN_FILE", options.token_file);
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
      "line is missing or cannot be read");
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

std::vector<const CLI::Option*> OptionsOf(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->nonpositional(); });
}

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// The help of a command, with the options that all commands share.
class Help final : public CLI::Formatter {
 public:
  std::string make_footer(const CLI::App* app) const override {
    const CLI::App* program = app;
    while (program->get_parent() != nullptr) program = program->get_parent();
    if (program == app) return CLI::Formatter::make_footer(app);
    std::vector<const CLI::Option*> shared = OptionsOf(*program);
    // --help is listed already, and --version is the program's alone.
    std::erase_if(shared, [](const CLI::Option* option) { return !TakesValue(*option); });
    return make_group("Options of every command", false, shared).substr(1) + CLI::Formatter::make_footer(app);
  }
};

void AddWords(const CLI::App& app, const std::string& path, std::vector<CommandWords>& commands) {
  CommandWords words{.path = path, .commands = {}, .options = {}};
  for (const CLI::App* command : app.get_subcommands({})) {
    words.commands.push_back({command->get_name(), command->get_description()});
  }
  for (const CLI::App* owner = &app; owner != nullptr; owner = owner->get_parent()) {
    for (const CLI::Option* option : OptionsOf(*owner)) {
      // --version is the program's alone.
      if (owner != &app && !TakesValue(*option)) continue;
      words.options.push_back(
          {"--" + option->get_lnames().front(), option->get_description(), TakesValue(*option)});
    }
  }
  commands.push_back(std::move(words));
  for (const CLI::App* command : app.get_subcommands({})) {
    AddWords(*command, path + " " + command->get_name(), commands);
  }
}

void AddCompletion(CLI::App& app, OfflineCommand& command) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* completion =
      app.add_subcommand("completion", "print the script by which a shell completes tokenctl's words");
  completion->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(OneOf({"bash", "zsh", "fish"}));
  completion->callback([shell, &app, &command] {
    command = [shell, &app](OutputForm) {
      std::vector<CommandWords> words;
      AddWords(app, app.get_name(), words);
      return Print(CompletionScript(*shell, words)) ? kDone : kFailed;
    };
  });
}

// What is wrong with the first word that no command and no option takes; empty where each is taken.
std::string WrongWord(const CLI::App& app) {
  const std::vector<std::string> left = app.remaining(/*recurse=*/true);
  if (left.empty()) return {};
  const std::string word = left.front().substr(0, left.front().find('='));
  const bool is_option = word.starts_with('-');
  const CLI::App* command = &app;
  std::string path = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    path += " " + command->get_name();
  }
  std::vector<CommandWords> words;
  AddWords(*command, path, words);
  std::vector<std::string> candidates;
  for (const Word& right : is_option ? words.front().options : words.front().commands) {
    candidates.push_back(right.text);
  }
  if (candidates.empty()) return {};
  return word + " is not " + (is_option ? "an option" : "a command") + " of " + path + "; did you mean " +
         NearestWord(word, candidates) + "?";
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
  app.formatter(std::make_shared<Help>());
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
  AddCompletion(app, offline);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const std::string wrong = WrongWord(app);
    if (error.get_exit_code() != 0 && !wrong.empty()) return UsageError(wrong);
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (!offline) {
    if (arguments.output == "csv") return UsageError("--output: csv is for lists alone");
    ReadVariables(app, arguments);
    const bool is_patient = command != CheckHealth || app.count("--timeout") > 0;
    arguments.patience = is_patient ? Client::Patience::kUntilTimeout : Client::Patience::kOnce;
    return RunOnline(command, arguments);
  }
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
