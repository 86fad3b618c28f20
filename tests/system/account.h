#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/fake_applivery.h"
#include "tests/system/raw_client.h"

namespace tokend::system {

// What callers got, what the upstream minted and what the audit log says, laid side by side.
class Account {
 public:
  // An answer that a caller got.
  void Add(const Answered& answered);

  // Expects what must hold after any crash or fault, once the daemon has stopped: every token minted is
  // issued, unknown or withheld in the log; every bearer released has its record; no request_id was minted
  // twice; each intent has exactly one end. The grant's description must be "{request_id}".
  void Expect(const std::vector<std::string>& records, const std::vector<fakes::MintedToken>& minted);

  // Expects every bearer released so far to be in the log.
  void ExpectReleasesIn(const std::vector<std::string>& records) const;

  std::size_t released() const { return released_.size(); }
  std::size_t failed() const { return failed_; }

  // "minted 12 issued 11 unknown 1 withheld 0 refused 0 released 10 …", as Expect found them.
  std::string Row() const;
  static std::string Header();

 private:
  std::set<std::string> released_;  // token ids
  std::size_t failed_ = 0;
  std::size_t minted_ = 0;
  std::map<std::string, std::size_t> ends_;  // by event
};

// Expects `tokenctl audit verify` to find nothing wrong with the log in the folder.
void ExpectVerifies(const std::string& folder);

}  // namespace tokend::system
