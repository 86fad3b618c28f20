#pragma once

#include <string>
#include <vector>

#include "client/commands.h"

// `tokenctl audit`: reads the files of one audit log, without a daemon. An error is written to standard
// error.
namespace tokend::client {

struct AuditArguments {
  std::vector<std::string> files;
  std::string public_key;
  std::string anchor;
  std::string token;
  std::string fingerprint_key;
  std::string request_id;
  std::string caller;
  std::string event;
  std::string since;
  std::string until;
};

Exit RunVerify(const AuditArguments& arguments, OutputForm form);
Exit RunFind(const AuditArguments& arguments, OutputForm form);
Exit RunUnresolved(const AuditArguments& arguments, OutputForm form);

}  // namespace tokend::client
