#include "client/policy_commands.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "client/log_files.h"
#include "client/table.h"
#include "daemon/audit/events.h"
#include "daemon/base/caller_name.h"
#include "daemon/base/failure.h"
#include "daemon/base/form.h"
#include "daemon/base/json.h"
#include "daemon/config/load.h"
#include "daemon/policy/policy.h"

namespace tokend::client {
namespace {

// The greatest number of combinations of caller, target and change that are listed. Further ones are only
// counted.
constexpr std::size_t kMaxChanges = 100'000;

std::optional<policy::Policy> LoadPolicy(const std::string& path) {
  const config::LoadResult loaded = config::Load(path, nullptr, config::NamedFiles::kIgnored);
  for (const std::string& error : loaded.errors) PrintError(error);
  if (!loaded.config) return std::nullopt;
  return policy::Policy(loaded.config->grants, loaded.config->organizations);
}

std::vector<std::string> Sorted(std::vector<std::string> scopes) {
  std::sort(scopes.begin(), scopes.end());
  scopes.erase(std::unique(scopes.begin(), scopes.end()), scopes.end());
  return scopes;
}

// The verdict for people.
std::string Words(const policy::Verdict& verdict, bool decides) {
  if (verdict.failed) return "no: " + std::string(policy::Name(*verdict.failed)) + " does not match";
  return decides ? "decides" : "matches, but an earlier grant decides";
}

std::vector<Row> RowsOf(const std::vector<policy::Verdict>& verdicts, const config::Grant* decides) {
  std::vector<Row> rows = {{"GRANT", "VERDICT"}};
  for (const policy::Verdict& verdict : verdicts) {
    rows.push_back({verdict.grant->name, Words(verdict, verdict.grant == decides)});
  }
  return rows;
}

std::string VerdictsAsText(const std::vector<policy::Verdict>& verdicts, const config::Grant* decides) {
  std::string text =
      decides != nullptr ? "permitted by " + decides->name + "\n" : "denied: no grant matches\n";
  if (verdicts.empty()) return text;
  return text + "\n" + Table(RowsOf(verdicts, decides));
}

std::string VerdictsAsJson(const std::vector<policy::Verdict>& verdicts, const config::Grant* decides) {
  std::string json;
  for (const policy::Verdict& verdict : verdicts) {
    JsonObject object(json);
    object.Member("grant", verdict.grant->name);
    object.Member("matches", !verdict.failed);
    object.Member("decides", verdict.grant == decides);
    if (verdict.failed) object.Member("failed", policy::Name(*verdict.failed));
    object.End();
    json += '\n';
  }
  return json;
}

// Why the daemon would refuse the scopes, or an empty text.
std::string FaultOf(const std::vector<std::string>& scopes) {
  if (scopes.size() > kMaxScopes) return "may be given at most " + std::to_string(kMaxScopes) + " times";
  if (Sorted(scopes).size() != scopes.size()) return "no two may be equal";
  return std::all_of(scopes.begin(), scopes.end(), IsScope) ? "" : "must be 1 to 64 of [A-Za-z0-9._:-]";
}

// How a recorded request was decided.
struct Recorded {
  std::string grant;  // empty: denied
};

// The policy's decision that a record holds. Nothing where a record holds none: without a caller or an
// application, without a grant where it is not a denial, or where it ends an intent, since the intent's
// record holds the decision.
std::optional<Recorded> DecisionIn(const audit::RecordView& record) {
  using Role = audit::Event::Role;
  if (record.caller.name.empty() || record.target.application.empty()) return std::nullopt;
  if (record.event == audit::event::kRequestDenied) return Recorded{};
  if (record.grant.empty()) return std::nullopt;
  const audit::Event* const event = audit::FindEvent(record.event);
  const bool decided = event != nullptr && (event->role == Role::kRequest || event->role == Role::kIntent ||
                                            event->role == Role::kReplay);
  return decided ? std::optional(Recorded{std::string(record.grant)}) : std::nullopt;
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

void Replay(const policy::Policy& policy, const audit::RecordView& record, Replayed& replayed) {
  const std::optional<Recorded> recorded = DecisionIn(record);
  if (!recorded) return;
  const std::uint64_t count = std::max<std::uint64_t>(record.count, 1);
  replayed.requests += count;
  const std::vector<std::string> scopes = Sorted({record.target.scopes.begin(), record.target.scopes.end()});
  const config::Grant* decides =
      policy.Ask({record.caller.name, record.target.organization, record.target.application, scopes})
          .grant.get();
  const std::string after = decides != nullptr ? decides->name : "";
  if (after == recorded->grant) return;
  replayed.changed += count;
  const Change change{std::string(record.caller.name), std::string(record.target.organization),
                      std::string(record.target.application), recorded->grant, after};
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

std::vector<Row> RowsOf(const Replayed& replayed) {
  std::vector<Row> rows = {
      {"CHANGE", "REQUESTS", "CALLER", "ORGANIZATION", "APPLICATION", "GRANT BEFORE", "GRANT NOW"}};
  for (const auto& [change, count] : replayed.changes) {
    rows.push_back({Verb(change), std::to_string(count), change.caller, change.organization,
                    change.application, change.before, change.after});
  }
  return rows;
}

std::string ReplayedAsText(const Replayed& replayed) {
  std::string text = "requests: " + std::to_string(replayed.requests) +
                     "\ndecided otherwise: " + std::to_string(replayed.changed) + "\n";
  if (!replayed.changes.empty()) text += "\n" + Table(RowsOf(replayed));
  return text;
}

std::string ReplayedAsJson(const Replayed& replayed) {
  std::string json;
  for (const auto& [change, count] : replayed.changes) {
    JsonObject object(json);
    object.Member("change", Verb(change));
    object.Member("requests", count);
    object.Member("caller", change.caller);
    object.Member("organization", change.organization);
    object.Member("application", change.application);
    object.Member("grant_before", change.before);
    object.Member("grant_now", change.after);
    object.End();
    json += '\n';
  }
  return json;
}

std::string InForm(OutputForm form, const std::vector<policy::Verdict>& verdicts,
                   const config::Grant* decides) {
  switch (form) {
    case OutputForm::kJson:
      return VerdictsAsJson(verdicts, decides);
    case OutputForm::kCsv:
      return Csv(RowsOf(verdicts, decides));
    case OutputForm::kText:
      break;
  }
  return VerdictsAsText(verdicts, decides);
}

std::string InForm(OutputForm form, const Replayed& replayed) {
  switch (form) {
    case OutputForm::kJson:
      return ReplayedAsJson(replayed);
    case OutputForm::kCsv:
      return Csv(RowsOf(replayed));
    case OutputForm::kText:
      break;
  }
  return ReplayedAsText(replayed);
}

}  // namespace

Exit RunExplain(const PolicyArguments& arguments, OutputForm form) {
  const std::optional<policy::Policy> policy = LoadPolicy(arguments.config);
  if (!policy) return kUsage;
  if (!IsCallerName(arguments.caller)) {
    return UsageError("--caller: must be 1 to 512 printable ASCII characters without spaces");
  }
  const std::string organization =
      arguments.organization.empty() ? policy->default_organization() : arguments.organization;
  if (organization.empty()) return UsageError("--org: several organizations are configured; name one");
  if (!IsResourceName(organization))
    return UsageError("--org: must be 24 hex digits, or a slug of 3 to 128 of [A-Za-z0-9-]");
  if (!IsResourceName(arguments.application)) {
    return UsageError("--app: must be 24 hex digits, or a slug of 3 to 128 of [A-Za-z0-9-]");
  }
  if (const std::string fault = FaultOf(arguments.scopes); !fault.empty())
    return UsageError("--scope: " + fault);
  const std::vector<std::string> scopes = Sorted(arguments.scopes);
  const policy::Question question{arguments.caller, organization, arguments.application, scopes};
  const config::Grant* decides = policy->Ask(question).grant.get();
  const std::vector<policy::Verdict> verdicts = policy->Explain(question);
  if (!Print(InForm(form, verdicts, decides))) return kFailed;
  return decides != nullptr ? kDone : kNotPermitted;
}

Exit RunReplay(const PolicyArguments& arguments, OutputForm form) {
  const std::optional<policy::Policy> policy = LoadPolicy(arguments.config);
  if (!policy) return kUsage;
  Result<LogFiles> log = LogFiles::Open(arguments.files);
  if (!log.ok()) return UsageError(std::string(log.status().message()));
  Replayed replayed;
  while (true) {
    const auto line = log->Next();
    if (!line.ok()) return UsageError(std::string(line.status().message()));
    if (!line->has_value()) break;
    Replay(*policy, *(*line)->record, replayed);
  }
  for (const std::string& note : log->notes()) PrintError(Printable(note));
  if (replayed.requests == 0) {
    PrintError("no record says how a request was decided");
    return kNothingFound;
  }
  if (replayed.not_listed > 0) {
    PrintError(std::to_string(replayed.not_listed) +
               " further requests are decided otherwise; they are not listed");
  }
  return Print(InForm(form, replayed)) ? kDone : kFailed;
}

}  // namespace tokend::client
