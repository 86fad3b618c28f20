#pragma once

#include <string>
#include <vector>

#include "client/commands.h"
#include "client/record_filter.h"

// `tokenctl audit`: reads the files of audit logs, without a daemon. Errors, and what is to be said of the
// files, are written to standard error.
namespace tokend::client {

struct VerifyArguments {
  std::vector<std::string> files;
  std::string public_key;
  std::vector<std::string> anchors;
  std::string anchors_file;
  bool from_start = false;
};

Exit RunVerify(const VerifyArguments& arguments, OutputForm form);
Exit RunFind(const std::vector<std::string>& files, const FindArguments& arguments, OutputForm form);
Exit RunUnresolved(const std::vector<std::string>& files, OutputForm form);

}  // namespace tokend::client
