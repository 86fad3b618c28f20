#include "client/online_commands.h"

#include <absl/time/time.h>
#include <openssl/crypto.h>

#include <utility>

#include "client/output.h"

namespace tokend::client {
namespace {

Exit ExitFor(const Status& error) {
  if (DetailsOf(error).outcome != Outcome::kNoToken) return kOutcomeUnknown;
  switch (error.code()) {
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
    // Of a call that creates nothing.
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return kRetryLater;
    default:
      return kFailed;
  }
}

// What to do about a token that may exist; empty if none does.
std::string Advice(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNoToken:
      return {};
    case Outcome::kAskAgain:
      return "a token may exist: to get it, ask again with this --request-id, not with a new one";
    case Outcome::kLookForToken:
      return "a token may exist: a relay can tell if you ask it again with this --request-id; elsewhere look "
             "for "
             "its description in the Applivery dashboard before you use a new one";
  }
  return {};
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

Exit Fail(const Status& error) {
  std::string text = ToText(error);
  text.pop_back();  // PrintError ends the line
  PrintError(text);
  const std::string advice = Advice(DetailsOf(error).outcome);
  if (!advice.empty()) PrintError(advice);
  return ExitFor(error);
}

}  // namespace

Exit Create(Client& client, const OnlineArguments& arguments) {
  const Result<Token> token = client.CreateToken(arguments.create);
  if (!token.ok()) return Fail(token.status());
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
  const Result<Health> health = client.CheckHealth(arguments.patience);
  if (!health.ok()) return Fail(health.status());
  const Exit exit = PrintResult(arguments.output == "json" ? ToJson(*health) : ToText(*health), {});
  return exit == kDone && *health != Health::kServing ? kRetryLater : exit;
}

Exit RunOnline(OnlineCommand command, OnlineArguments& arguments) {
  absl::Duration timeout = absl::Seconds(1);
  if (arguments.patience == Client::Patience::kUntilTimeout &&
      !absl::ParseDuration(arguments.timeout, &timeout)) {
    return UsageError("--timeout, $TOKEND_TIMEOUT: must be a duration such as 250ms, 30s or 10m");
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
