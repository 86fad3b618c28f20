#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tokend/audit/v1/record.pb.h"

// What anyone who is not the daemon makes of a log: Protobuf's JSON parser, SHA-256, and the audit page.
namespace tokend::audit {

struct CheckedLine {
  std::string text;
  v1::Record record;
};

using Files = std::map<std::string, std::string>;

Files ReadFiles(const std::filesystem::path& folder);

// The log "audit.jsonl" among the files: what a later file's audit.recovered begins again, and what is no
// record, is skipped.
std::vector<CheckedLine> ReadLog(const Files& files);
std::vector<CheckedLine> LinesOf(const std::string& bytes);

// Expects numbers without gaps, each line to hold the hash of the one before, and time never to go back.
void ExpectChained(const std::vector<CheckedLine>& lines);

// Expects each token.intended to be ended by exactly one record, and nothing else to be ended.
void ExpectEachIntentEndedOnce(const std::vector<CheckedLine>& lines);

std::vector<std::string> Events(const std::vector<CheckedLine>& lines);

}  // namespace tokend::audit
