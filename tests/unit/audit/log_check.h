#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tokend/audit/v1/record.pb.h"

// Reads and checks a log without the daemon's reader: with Protobuf's JSON parser and SHA-256.
namespace tokend::audit {

struct CheckedLine {
  std::string text;
  v1::Record record;
};

using Files = std::map<std::string, std::string>;

Files ReadFiles(const std::filesystem::path& folder);

// Reads the log "audit.jsonl" from the files. Skips lines that are not records, and lines that a later file's
// audit.recovered repeats.
std::vector<CheckedLine> ReadLog(const Files& files);
std::vector<CheckedLine> LinesOf(const std::string& bytes);

// Expects sequence numbers without gaps, times that never go back, and in each line the hash of the line
// before.
void ExpectChained(const std::vector<CheckedLine>& lines);

// Expects that each token.intended is ended by exactly one record, and that no record ends anything else.
void ExpectEachIntentEndedOnce(const std::vector<CheckedLine>& lines);

std::vector<std::string> Events(const std::vector<CheckedLine>& lines);

}  // namespace tokend::audit
