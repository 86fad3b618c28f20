#pragma once

#include <string>

#include "client/client.h"
#include "client/commands.h"

// The commands of tokenctl that call a daemon. An error is written to standard error.
namespace tokend::client {

struct OnlineArguments {
  Options options;
  std::string timeout = "60s";
  std::string output = "text";                                  // or "json" or "bearer"
  Client::Patience patience = Client::Patience::kUntilTimeout;  // kOnce: of CheckHealth, and for a second
  CreateRequest create;
};

using OnlineCommand = Exit (*)(Client& client, const OnlineArguments& arguments);

Exit Create(Client& client, const OnlineArguments& arguments);
Exit WhoAmI(Client& client, const OnlineArguments& arguments);
Exit CheckHealth(Client& client, const OnlineArguments& arguments);

// Checks the arguments, connects and runs the command.
Exit RunOnline(OnlineCommand command, OnlineArguments& arguments);

}  // namespace tokend::client
