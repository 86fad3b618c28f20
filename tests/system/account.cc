#include "tests/system/account.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <iomanip>
#include <iterator>
#include <sstream>
#include <string_view>

#include "tests/system/tokend_process.h"

namespace tokend::system {
namespace {

constexpr int kColumn = 10;
constexpr const char* kEnds[] = {"token.issued", "token.unknown", "token.withheld", "token.refused"};

std::string IntentOf(const std::string& record) {
  constexpr std::string_view kKey = "\"intent\":";
  const std::size_t at = record.find(kKey);
  if (at == std::string::npos) return "";
  return record.substr(at + kKey.size(), record.find(',', at) - at - kKey.size());
}

std::string SequenceOf(const std::string& record) {
  constexpr std::size_t kBegin = std::string_view("{\"seq\":").size();
  return record.substr(kBegin, record.find(',') - kBegin);
}

}  // namespace

void Account::Add(const Answered& answered) {
  if (answered.code == 0) {
    released_.insert(answered.response.token().id());
  } else {
    ++failed_;
  }
}

void Account::Expect(const std::vector<std::string>& records, const std::vector<fakes::MintedToken>& minted) {
  ExpectOfAll({records}, minted);
}

void Account::ExpectOfAll(const std::vector<std::vector<std::string>>& logs,
                          const std::vector<fakes::MintedToken>& minted) {
  std::set<std::string> maybe;  // request_ids that have or may have a token according to the logs
  std::vector<std::string> all;
  ends_.clear();
  for (const std::vector<std::string>& records : logs) {
    std::map<std::string, int> open;  // how many ends each intent still needs, by its sequence number
    for (const std::string& record : records) {
      const std::string event = Field(record, "event");
      if (event == "token.intended") open[SequenceOf(record)] = 1;
      if (std::find(std::begin(kEnds), std::end(kEnds), event) == std::end(kEnds)) continue;
      ++ends_[event];
      if (!open.contains(IntentOf(record))) ADD_FAILURE() << "ends what was not intended: " << record;
      --open[IntentOf(record)];
      if (event != "token.refused") maybe.insert(Field(record, "request_id"));
    }
    for (const auto& [intent, needs] : open) {
      EXPECT_EQ(needs, 0) << "not ended exactly once: intent " << intent;
    }
    all.insert(all.end(), records.begin(), records.end());
  }
  ExpectReleasesIn(all);
  minted_ = minted.size();
  std::set<std::string> seen;
  for (const fakes::MintedToken& token : minted) {
    EXPECT_TRUE(maybe.contains(token.description)) << "a token that the log does not know";
    EXPECT_TRUE(seen.insert(token.description).second) << "minted twice: " << token.description;
  }
}

void Account::ExpectReleasesIn(const std::vector<std::string>& records) const {
  std::set<std::string> recorded;
  for (const std::string& record : records) {
    const std::string event = Field(record, "event");
    if (event == "token.issued" || event == "token.replayed") recorded.insert(Field(record, "id"));
  }
  for (const std::string& id : released_) EXPECT_TRUE(recorded.contains(id)) << "released without its record";
}

std::string Account::Header() {
  std::ostringstream row;
  for (const char* name : {"minted", "issued", "unknown", "withheld", "refused", "released", "failed"}) {
    row << std::setw(kColumn) << name;
  }
  return row.str();
}

std::string Account::Row() const {
  std::ostringstream row;
  row << std::setw(kColumn) << minted_;
  for (const char* event : kEnds) {
    row << std::setw(kColumn) << (ends_.contains(event) ? ends_.at(event) : 0);
  }
  row << std::setw(kColumn) << released_.size() << std::setw(kColumn) << failed_;
  return row.str();
}

void ExpectVerifies(const std::string& folder) {
  std::vector<std::string> command = {Program("tokenctl"), "audit", "verify"};
  for (std::string& file : AuditFiles(folder)) command.push_back(std::move(file));
  const Ended ended = RunProgram(std::move(command));
  EXPECT_EQ(ended.exit, 0) << ended.out << ended.err;
}

}  // namespace tokend::system
