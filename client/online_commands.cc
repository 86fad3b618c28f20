#include "client/online_commands.h"

#include <absl/time/time.h>
#include <openssl/crypto.h>

#include <utility>

#include "client/output.h"

namespace tokend::client {
namespace {

Exit ExitFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
      return kInvalidRequest;
    case absl::StatusCode::kUnauthenticated:
      return kUnauthenticated;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kNotFound:
      return kNotPermitted;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return kRetryLater;
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return kOutcomeUnknown;
    default:
      return kFailed;
  }
}

// Prints the result and wipes it, because it may hold a bearer.
Exit PrintResult(std::string result, const std::string& request_id) {
  const bool written = Print(result);
  OPENSSL_cleanse(result.data(), result.size());
  if (written) return kDone;
  PrintError("the result could not be written to standard output");
  if (!request_id.empty()) {
    PrintError("the token exists: to get it, ask again with --request-id " + request_id);
  }
  return kFailed;
}

Exit Fail(const Status& status) {
  std::string text = ToText(status);
  text.pop_back();  // PrintError ends the line
  PrintError(text);
  return ExitFor(status.code());
}

}  // namespace

Exit Create(Client& client, const OnlineArguments& arguments) {
  const Result<Token> token = client.CreateToken(arguments.create);
  if (!token.ok()) {
    const Exit exit = Fail(token.status());
    const ErrorDetails details = DetailsOf(token.status());
    const bool may_exist = exit == kOutcomeUnknown || (exit == kRetryLater && details.reason.empty());
    if (may_exist && !details.request_id.empty()) {
      PrintError("a token may exist; to get it, ask again with this --request-id, not with a new one");
    }
    return exit;
  }
  const std::string request_id = token->id.empty() ? "" : token->request_id;
  if (arguments.output == "json") return PrintResult(ToJson(*token), request_id);
  if (arguments.output == "bearer")
    return PrintResult(std::string(token->bearer.Expose()) + "\n", request_id);
  return PrintResult(ToText(*token), request_id);
}

Exit WhoAmI(Client& client, const OnlineArguments& arguments) {
  const Result<CallerInfo> info = client.GetCaller();
  if (!info.ok()) return Fail(info.status());
  return PrintResult(arguments.output == "json" ? ToJson(*info) : ToText(*info), {});
}

Exit CheckHealth(Client& client, const OnlineArguments& arguments) {
  const Result<Health> health = client.CheckHealth();
  if (!health.ok()) {
    const Exit exit = Fail(health.status());
    // Health creates nothing, so a call without an answer may be repeated.
    return exit == kOutcomeUnknown ? kRetryLater : exit;
  }
  const Exit exit = PrintResult(arguments.output == "json" ? ToJson(*health) : ToText(*health), {});
  return exit == kDone && *health != Health::kServing ? kRetryLater : exit;
}

Exit RunOnline(OnlineCommand command, OnlineArguments& arguments) {
  absl::Duration timeout;
  if (!absl::ParseDuration(arguments.timeout, &timeout)) {
    return UsageError("--timeout: must be a duration such as 250ms, 30s or 10m");
  }
  arguments.options.timeout = absl::ToChronoMilliseconds(timeout);
  if (arguments.output == "bearer" && command != Create)
    return UsageError("--output: bearer is for create alone");
  if (arguments.output == "bearer" && arguments.create.validate_only) {
    return UsageError("--output: a --dry-run has no bearer; choose text or json");
  }
  Result<Client> client = Client::Connect(arguments.options);
  if (!client.ok()) return UsageError(std::string(client.status().message()));
  return command(*client, arguments);
}

}  // namespace tokend::client
