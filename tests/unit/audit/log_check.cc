#include "tests/unit/audit/log_check.h"

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <utility>

#include "daemon/audit/events.h"

namespace tokend::audit {
namespace {

std::string Sha256Sum(const std::string& text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::string hex;
  for (const unsigned byte : digest) {
    hex += "0123456789abcdef"[byte >> 4U];
    hex += "0123456789abcdef"[byte & 15U];
  }
  return hex;
}

// The log's files, oldest first.
std::vector<std::string> InOrder(const Files& files) {
  static const std::regex closed(R"(audit-(\d{20})((-r)*)\.jsonl)");
  std::vector<std::pair<std::string, std::string>> keyed;
  for (const auto& [name, bytes] : files) {
    std::smatch match;
    if (std::regex_match(name, match, closed)) keyed.emplace_back(match[1].str() + match[2].str(), name);
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::string> names;
  names.reserve(keyed.size() + 1);
  for (auto& [key, name] : keyed) names.push_back(name);
  if (files.count("audit.jsonl") != 0) names.emplace_back("audit.jsonl");
  return names;
}

}  // namespace

Files ReadFiles(const std::filesystem::path& folder) {
  Files files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().filename().string()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  return files;
}

std::vector<CheckedLine> LinesOf(const std::string& bytes) {
  std::vector<CheckedLine> lines;
  std::size_t begin = 0;
  for (std::size_t end = bytes.find('\n'); end != std::string::npos; end = bytes.find('\n', begin)) {
    CheckedLine line;
    line.text = bytes.substr(begin, end - begin);
    const bool parsed = google::protobuf::util::JsonStringToMessage(line.text, &line.record).ok();
    if (parsed && line.record.seq() > 0) {
      lines.push_back(std::move(line));
    }
    begin = end + 1;
  }
  return lines;
}

std::vector<CheckedLine> ReadLog(const Files& files) {
  std::vector<CheckedLine> log;
  for (const std::string& name : InOrder(files)) {
    std::vector<CheckedLine> lines = LinesOf(files.at(name));
    if (!lines.empty() && lines.front().record.event() == event::kAuditRecovered) {
      const std::uint64_t from = lines.front().record.seq();
      log.erase(std::remove_if(log.begin(), log.end(),
                               [from](const CheckedLine& line) { return line.record.seq() >= from; }),
                log.end());
    }
    std::move(lines.begin(), lines.end(), std::back_inserter(log));
  }
  return log;
}

void ExpectChained(const std::vector<CheckedLine>& lines) {
  std::string hash(64, '0');
  std::uint64_t sequence = lines.empty() ? 0 : lines.front().record.seq() - 1;
  if (sequence != 0) hash = lines.front().record.prev();
  for (const CheckedLine& line : lines) {
    ASSERT_EQ(line.record.seq(), ++sequence) << line.text;
    ASSERT_EQ(line.record.prev(), hash) << line.text;
    ASSERT_LT(line.text.size(), 16U * 1024);
    hash = Sha256Sum(line.text);
  }
}

void ExpectEachIntentEndedOnce(const std::vector<CheckedLine>& lines) {
  std::set<std::uint64_t> running;
  for (const CheckedLine& line : lines) {
    if (RoleOf(line.record) == Event::Role::kIntent) running.insert(line.record.seq());
    if (RoleOf(line.record) != Event::Role::kEnd) continue;
    EXPECT_EQ(running.erase(line.record.intent()), 1U) << "not running: " << line.text;
  }
  EXPECT_TRUE(running.empty()) << "not ended: " << *running.begin();
}

std::vector<std::string> Events(const std::vector<CheckedLine>& lines) {
  std::vector<std::string> events;
  events.reserve(lines.size());
  for (const CheckedLine& line : lines) events.push_back(line.record.event());
  return events;
}

}  // namespace tokend::audit
