#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/fake_applivery.h"
#include "tests/system/raw_client.h"

namespace tokend::system {

// Compares what callers got, what the upstream minted and what the audit log says.
class Account {
 public:
  // Adds an answer that a caller got.
  void Add(const Answered& answered);

  // Call this after the daemon has stopped. Expects what must hold after any crash or fault: the log has
  // every minted token as issued, unknown or withheld, every released bearer has its record, no request_id
  // was minted twice, and each intent has exactly one end. The grant's description must be "{request_id}".
  void Expect(const std::vector<std::string>& records, const std::vector<fakes::MintedToken>& minted);

  // The same for replicas, each with a log of its own.
  void ExpectOfAll(const std::vector<std::vector<std::string>>& logs,
                   const std::vector<fakes::MintedToken>& minted);

  // Expects a record for every bearer released so far.
  void ExpectReleasesIn(const std::vector<std::string>& records) const;

  std::size_t released() const { return released_.size(); }
  std::size_t failed() const { return failed_; }

  // The counts that Expect found: "minted 12 issued 11 unknown 1 withheld 0 refused 0 released 10 …".
  std::string Row() const;
  static std::string Header();

 private:
  std::set<std::string> released_;  // token ids
  std::size_t failed_ = 0;
  std::size_t minted_ = 0;
  std::map<std::string, std::size_t> ends_;  // the number of ends of each event
};

// Expects `tokenctl audit verify` to accept the log in the folder.
void ExpectVerifies(const std::string& folder);

}  // namespace tokend::system
