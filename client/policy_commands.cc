#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "client/commands.h"
#include "client/exit.h"
#include "client/log_files.h"
#include "client/table.h"
#include "daemon/audit/audit_log.h"
#include "daemon/base/caller_name.h"
#include "daemon/base/failure.h"
#include "daemon/base/form.h"
#include "daemon/config/load.h"
#include "daemon/policy/policy.h"

namespace tokend::client {
namespace {

// Combinations of caller, application and change that are told apart; what comes later is counted together.
constexpr std::size_t kMaxChanges = 100'000;

struct PolicyArguments {
  std::string config;
  std::string caller;
  std::string organization;
  std::string application;
  std::vector<std::string> scopes;
  std::vector<std::string> files;
};

int Usage(const std::string& message) {
  PrintError(message + "\n");
  return kUsage;
}

std::optional<policy::Policy> LoadPolicy(const std::string& path) {
  const config::LoadResult loaded = config::Load(path, nullptr, config::NamedFiles::kIgnored);
  for (const std::string& error : loaded.errors) PrintError(error + "\n");
  if (!loaded.config) return std::nullopt;
  return policy::Policy(loaded.config->grants, loaded.config->organizations);
}

std::vector<std::string> Sorted(std::vector<std::string> scopes) {
  std::sort(scopes.begin(), scopes.end());
  scopes.erase(std::unique(scopes.begin(), scopes.end()), scopes.end());
  return scopes;
}

// What a person reads of a verdict.
std::string Words(const policy::Verdict& verdict, bool decides) {
  if (verdict.failed) return "no: " + std::string(policy::Name(*verdict.failed)) + " does not match";
  return decides ? "decides" : "matches, but an earlier grant decides";
}

std::string VerdictsAsText(const std::vector<policy::Verdict>& verdicts, const config::Grant* decides) {
  std::string text =
      decides != nullptr ? "permitted by " + decides->name + "\n" : "denied: no grant matches\n";
  if (verdicts.empty()) return text;
  std::vector<Row> rows = {{"GRANT", "VERDICT"}};
  for (const policy::Verdict& verdict : verdicts) {
    rows.push_back({verdict.grant->name, Words(verdict, verdict.grant == decides)});
  }
  return text + "\n" + Table(std::move(rows));
}

std::string VerdictsAsJson(const std::vector<policy::Verdict>& verdicts, const config::Grant* decides) {
  std::string json;
  for (const policy::Verdict& verdict : verdicts) {
    json += "{\"grant\":" + JsonQuote(verdict.grant->name) +
            ",\"matches\":" + (verdict.failed ? "false" : "true") +
            ",\"decides\":" + (verdict.grant == decides ? "true" : "false");
    if (verdict.failed) json += ",\"failed\":" + JsonQuote(std::string(policy::Name(*verdict.failed)));
    json += "}\n";
  }
  return json;
}

// What is wrong with the scopes asked for, as the daemon would say; empty: nothing.
std::string FaultOf(const std::vector<std::string>& scopes) {
  if (scopes.size() > kMaxScopes) return "at most " + std::to_string(kMaxScopes);
  if (Sorted(scopes).size() != scopes.size()) return "no two may be alike";
  return std::all_of(scopes.begin(), scopes.end(), IsScope) ? "" : "1 to 64 of [A-Za-z0-9._:-]";
}

int RunExplain(const PolicyArguments& arguments, OutputForm form) {
  const std::optional<policy::Policy> policy = LoadPolicy(arguments.config);
  if (!policy) return kUsage;
  if (!IsCallerName(arguments.caller)) {
    return Usage("--caller: 1 to 256 printable ASCII characters without spaces");
  }
  const std::string organization =
      arguments.organization.empty() ? policy->default_organization() : arguments.organization;
  if (organization.empty()) return Usage("--org: several organizations are configured; name one");
  if (!IsResourceName(organization))
    return Usage("--org: 24 hex digits, or a slug of 3 to 128 of [A-Za-z0-9-]");
  if (!IsResourceName(arguments.application)) {
    return Usage("--app: 24 hex digits, or a slug of 3 to 128 of [A-Za-z0-9-]");
  }
  if (const std::string fault = FaultOf(arguments.scopes); !fault.empty()) return Usage("--scope: " + fault);
  const std::vector<std::string> scopes = Sorted(arguments.scopes);
  const policy::Question question{arguments.caller, organization, arguments.application, scopes};
  const config::Grant* decides = policy->Ask(question).grant;
  const std::vector<policy::Verdict> verdicts = policy->Explain(question);
  if (!Print(form == OutputForm::kJson ? VerdictsAsJson(verdicts, decides)
                                       : VerdictsAsText(verdicts, decides))) {
    return kFailed;
  }
  return decides != nullptr ? kDone : kNotPermitted;
}

// How a recorded request was decided: by a grant, or by none.
struct Recorded {
  std::string grant;  // empty: denied
};

// Nothing for records that tell no decision of the policy: those without a grant that are no denial, denials
// that were counted without their caller or target, and records of what became of an intent, which has one of
// its own.
std::optional<Recorded> DecisionIn(const audit::v1::Record& record) {
  if (record.caller().name().empty() || record.target().application().empty()) return std::nullopt;
  const std::string& event = record.event();
  if (event == audit::event::kRequestDenied) return Recorded{};
  if (record.grant().empty()) return std::nullopt;
  const bool decided = event.starts_with("request.") || event == audit::event::kTokenIntended ||
                       event == audit::event::kTokenReplayed;
  return decided ? std::optional(Recorded{record.grant()}) : std::nullopt;
}

struct Change {
  std::string caller;
  std::string organization;
  std::string application;
  std::string before;  // a grant's name; empty: denied
  std::string after;

  auto Key() const { return std::tie(caller, organization, application, before, after); }
  bool operator<(const Change& other) const { return Key() < other.Key(); }
};

struct Replayed {
  std::uint64_t requests = 0;
  std::uint64_t changed = 0;
  std::uint64_t not_listed = 0;
  std::map<Change, std::uint64_t> changes;
};

void Replay(const policy::Policy& policy, const audit::v1::Record& record, Replayed& replayed) {
  const std::optional<Recorded> recorded = DecisionIn(record);
  if (!recorded) return;
  const std::uint64_t count = std::max<std::uint64_t>(record.count(), 1);
  replayed.requests += count;
  const std::vector<std::string> scopes =
      Sorted({record.target().scopes().begin(), record.target().scopes().end()});
  const config::Grant* decides = policy
                                     .Ask({record.caller().name(), record.target().organization(),
                                           record.target().application(), scopes})
                                     .grant;
  const std::string after = decides != nullptr ? decides->name : "";
  if (after == recorded->grant) return;
  replayed.changed += count;
  const Change change{record.caller().name(), record.target().organization(), record.target().application(),
                      recorded->grant, after};
  const auto known = replayed.changes.find(change);
  if (known != replayed.changes.end()) {
    known->second += count;
  } else if (replayed.changes.size() < kMaxChanges) {
    replayed.changes.emplace(change, count);
  } else {
    replayed.not_listed += count;
  }
}

std::string Verb(const Change& change) {
  if (change.after.empty()) return "now denied";
  return change.before.empty() ? "now permitted" : "another grant";
}

std::string ReplayedAsText(const Replayed& replayed) {
  std::string text = "requests: " + std::to_string(replayed.requests) +
                     "\ndecided otherwise: " + std::to_string(replayed.changed) + "\n";
  if (!replayed.changes.empty()) {
    std::vector<Row> rows = {
        {"CHANGE", "REQUESTS", "CALLER", "ORGANIZATION", "APPLICATION", "GRANT BEFORE", "GRANT NOW"}};
    for (const auto& [change, count] : replayed.changes) {
      rows.push_back({Verb(change), std::to_string(count), change.caller, change.organization,
                      change.application, change.before, change.after});
    }
    text += "\n" + Table(std::move(rows));
  }
  return text;
}

std::string ReplayedAsJson(const Replayed& replayed) {
  std::string json;
  for (const auto& [change, count] : replayed.changes) {
    json +=
        "{\"change\":" + JsonQuote(Verb(change)) + ",\"requests\":" + std::to_string(count) +
        ",\"caller\":" + JsonQuote(change.caller) + ",\"organization\":" + JsonQuote(change.organization) +
        ",\"application\":" + JsonQuote(change.application) +
        ",\"grant_before\":" + JsonQuote(change.before) + ",\"grant_now\":" + JsonQuote(change.after) + "}\n";
  }
  return json;
}

int RunReplay(const PolicyArguments& arguments, OutputForm form) {
  const std::optional<policy::Policy> policy = LoadPolicy(arguments.config);
  if (!policy) return kUsage;
  Result<LogFiles> log = LogFiles::Open(arguments.files);
  if (!log.ok()) return Usage(std::string(log.status().message()));
  Replayed replayed;
  std::uint64_t unreadable = 0;
  while (true) {
    const auto line = log->Next();
    if (!line.ok()) return Usage(std::string(line.status().message()));
    if (!line->has_value()) break;
    if ((*line)->record) {
      Replay(*policy, *(*line)->record, replayed);
    } else {
      ++unreadable;
    }
  }
  if (unreadable > 0)
    PrintError(std::to_string(unreadable) + " lines are no records, and were passed over\n");
  if (replayed.requests == 0) {
    PrintError("no record tells how a request was decided\n");
    return kNothingFound;
  }
  if (replayed.not_listed > 0) {
    PrintError(std::to_string(replayed.not_listed) + " requests that are decided otherwise are not listed\n");
  }
  return Print(form == OutputForm::kJson ? ReplayedAsJson(replayed) : ReplayedAsText(replayed)) ? kDone
                                                                                                : kFailed;
}

}  // namespace

void AddPolicyCommands(CLI::App& app, OfflineCommand& command) {
  const auto arguments = std::make_shared<PolicyArguments>();
  CLI::App* group = app.add_subcommand("policy", "ask a configuration's policy, offline");
  group->require_subcommand(1);

  CLI::App* explain =
      group->add_subcommand("explain", "which grant decides, and why each other does not; exit 5: denied");
  explain->add_option("--config", arguments->config, "the daemon's configuration")->required();
  explain->add_option("--caller", arguments->caller, "the caller's whole name")->required();
  explain->add_option("--app", arguments->application, "application: id or slug")->required();
  explain->add_option("--org", arguments->organization, "organization (default: the only one configured)");
  explain->add_option("--scope", arguments->scopes, "may be repeated (default: the grant's default scopes)")
      ->allow_extra_args(false);
  explain->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunExplain(*arguments, form); };
  });

  CLI::App* replay = group->add_subcommand(
      "replay",
      "which recorded requests this policy would decide otherwise, by caller; exit 0 whether there are any "
      "or not, "
      "9: the files hold no decision. A request is asked again with the scopes that it was given");
  replay->add_option("--config", arguments->config, "the configuration to ask")->required();
  replay->add_option("--audit", arguments->files, "files of one audit log, in any order, .gz and .zst too")
      ->required();
  replay->callback([arguments, &command] {
    command = [arguments](OutputForm form) { return RunReplay(*arguments, form); };
  });
}

}  // namespace tokend::client
