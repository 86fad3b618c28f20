#pragma once

#include <string>
#include <vector>

#include "client/commands.h"

// `tokenctl policy`: asks the policy of a configuration, without a daemon. An error is written to standard
// error.
namespace tokend::client {

struct PolicyArguments {
  std::string config;
  std::string caller;
  std::string organization;
  std::string application;
  std::vector<std::string> scopes;
  std::vector<std::string> files;
};

Exit RunExplain(const PolicyArguments& arguments, OutputForm form);
Exit RunReplay(const PolicyArguments& arguments, OutputForm form);

}  // namespace tokend::client
