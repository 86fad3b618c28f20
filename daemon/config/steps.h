#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/config/load.h"
#include "daemon/config/report.h"
#include "daemon/config/yaml.h"
#include "tokend/config/v1/config.pb.h"

// The steps by which Load makes a Config of a document, in their order.
namespace tokend::config {

// Fills the schema from a document, by reflection. Judges each key by itself: unknown, repeated and missing
// keys, types, forms, bounds and files. Absent keys get their defaults, and keys with an error
// stay unset. The report has the document.
void Read(const YamlNode& document, NamedFiles files, Report& report, v1::Config& schema);

// A part of Read. Judges the file that the key at `key` names, by the key's options: it must exist, be
// regular and readable, not be empty, have an allowed size, and not be readable by others. Its content is not
// read. Symbolic links are followed, because Kubernetes mounts secrets by them.
void CheckFile(const v1::KeyOptions& options, const std::string& file, const std::string& key,
               Report& report);

// Judges the keys together. A key with an error is unset and an item with an error empty: they have been
// reported, and no rule reports them again. Afterwards the schema holds the values in effect: defaults that
// depend on other keys are filled in, and spellings with one meaning are made equal.
void ApplyRules(v1::Config& schema, NamedFiles files, Report& report);

// Parts of ApplyRules.
void ApplyListenerRules(v1::Config& schema, NamedFiles files, Report& report);
void ApplyPolicyRules(v1::Config& schema, Report& report);

// Whether tokens for both could give one caller's name, but for trust domains: their issuers differ, and one
// `caller` template begins with the text that begins the other.
bool CanNameAlike(const v1::JwtAuthentication& one, const v1::JwtAuthentication& other);

// A part of ApplyPolicyRules. Warns of valid grants that are probably mistakes: patterns that match nearly
// every caller, callers that no listener can name, applications by their ids, and grants that never decide
// because an earlier one covers them. `organizations` are the configured ones. Warns only where it is
// certain, and compares at most a fixed number of pairs of grants.
void LintPolicy(const v1::Config& schema, const std::set<std::string>& organizations, Report& report);

// Reports each key of `next` that is read only at the start (KeyOptions.at_start) and has another value in
// `running`.
void CheckUnchanged(const v1::Config& running, const v1::Config& next, Report& report);

// Every file that the keys of a configuration name and that must exist, each once.
std::vector<std::string> FilesOf(const v1::Config& schema);

// Builds the configuration of the daemon's parts. The schema has been read and judged without an error.
Config Build(const v1::Config& schema);

// The configuration in effect, as YAML: every default filled in, keys in the schema's order, texts in quotes.
// Loading it gives the same text again. It holds no secret: the configuration only names where secrets are.
std::string Effective(const v1::Config& schema);

// The first 16 hex digits of the text's SHA-256.
std::string Fingerprint(std::string_view text);

}  // namespace tokend::config
