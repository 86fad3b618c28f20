#include "daemon/upstream/applivery.h"

#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/form.h"
#include "daemon/base/json.h"
#include "daemon/upstream/answer.h"
#include "daemon/upstream/answered_token.h"

namespace tokend::upstream {
namespace {

std::shared_ptr<const loop::HeaderList> MakeHeaders(const ApiKey& key) {
  constexpr std::string_view kScheme = "Bearer ";
  Secret authorization;
  authorization.Reserve(kScheme.size() + key.size());
  authorization.Append(kScheme);
  authorization.Append(key.Expose());
  auto headers = std::make_shared<loop::HeaderList>();
  headers->Add("Authorization", authorization.Expose());
  headers->Add("Content-Type", "application/json");
  headers->Add("Accept", "application/json");
  headers->Add("Accept-Encoding", "identity");
  headers->Add("User-Agent", "tokend/" TOKEND_VERSION);
  return headers;
}

std::string MakeBody(const MintRequest& request) {
  std::string scopes;
  JsonArray list(scopes);
  for (const std::string& scope : request.scopes) list.Element(scope);
  list.End();

  std::string json;
  JsonObject body(json);
  body.Text("description", request.description);
  body.RawMember("scopes", scopes);
  body.End();
  return json;
}

MintOutcome NotSendable(Reason reason, const char* detail) { return {Refused{{reason, detail}}, {}}; }

// Withholds a token whose bearer contains the API key: whoever got the bearer could use the key.
MintOutcome WithoutKey(MintOutcome outcome, const ApiKey& key) {
  auto* minted = std::get_if<Minted>(&outcome.result);
  if (minted == nullptr) return outcome;
  if (minted->token->bearer.Expose().find(key.Expose()) == std::string_view::npos) return outcome;
  outcome.result = Indeterminate{{.reason = Reason::kUpstreamInvalidResponse,
                                  .detail = "upstream answered with the API key in the bearer"},
                                 std::move(minted->token)};
  return outcome;
}

}  // namespace

loop::HttpClientOptions HttpOptions(const config::Applivery& options) {
  return {.ca_file = options.ca_file,
          .allow_http = options.allow_http,
          .proxy = options.proxy,
          .connect_timeout = options.connect_timeout,
          .timeout = options.timeout,
          .connection_max_idle = options.connection_max_idle,
          .connection_max_age = options.connection_max_age,
          .connection_max_requests = options.connection_max_requests,
          .max_response_size = options.max_response_size,
          .max_connections = options.max_in_flight};
}

AppliveryUpstream::AppliveryUpstream(const config::Applivery& options, const KeyRing& keys,
                                     loop::EventLoop& loop, std::unique_ptr<loop::HttpClient> client,
                                     OnAnswer on_answer)
    : base_url_(options.base_url), loop_(loop), on_answer_(std::move(on_answer)), client_(std::move(client)) {
  UseKeys(keys);
}

void AppliveryUpstream::UseKeys(const KeyRing& keys) {
  std::vector<std::shared_ptr<Organization>> configured;
  for (const auto& [name, in_use] : keys) {
    std::shared_ptr<Organization> organization = organizations_[name].lock();
    if (organization == nullptr) organization = std::make_shared<Organization>();
    *organization = {in_use.key, MakeHeaders(*in_use.key), in_use.generation};
    organizations_[name] = organization;
    configured.push_back(std::move(organization));
  }
  configured_ = std::move(configured);
  std::erase_if(organizations_, [](const auto& organization) { return organization.second.expired(); });
}

std::shared_ptr<const AppliveryUpstream::Organization> AppliveryUpstream::Find(
    const std::string& name) const {
  const auto found = organizations_.find(name);
  return found == organizations_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<const void> AppliveryUpstream::Hold(const std::string& organization) {
  return Find(organization);
}

void AppliveryUpstream::Mint(IntentReceipt receipt, const MintRequest& request, Done done) {
  const std::shared_ptr<const Organization> organization = Find(request.organization);
  const auto decline = [&](MintOutcome outcome) {
    loop_.Post([receipt = std::move(receipt), outcome = std::move(outcome),
                done = std::move(done)]() mutable { done(std::move(receipt), std::move(outcome)); });
  };
  if (organization == nullptr) {
    return decline(NotSendable(Reason::kUpstreamKeyRejected, "there is no API key for the organization"));
  }
  // A resource name needs no escaping in a URL.
  if (!IsResourceName(request.organization) || !IsResourceName(request.application)) {
    return decline(NotSendable(Reason::kUpstreamRejected, "a name cannot stand in a URL"));
  }

  loop::HttpPost post;
  post.url = absl::StrCat(base_url_, "/v1/organizations/", request.organization, "/apps/",
                          request.application, "/tokens");
  post.headers = organization->headers;
  post.body = MakeBody(request);
  if (request.is_probe) post.connection = loop::HttpPost::Connection::kNew;
  client_->Post(std::move(post), [this, receipt = std::move(receipt), request, key = organization->key,
                                  generation = organization->key_generation,
                                  done = std::move(done)](const loop::HttpAnswer& answer) mutable {
    if (on_answer_ && answer.ending != loop::Ending::kStopped) {
      on_answer_(
          {answer.status == 0 ? std::nullopt : std::optional(answer.status), answer.latency, answer.error});
    }
    MintOutcome outcome = WithoutKey(Judge(answer, request), *key);
    if (const Token* token = TokenOf(outcome.result)) client_->WipeCopies(token->bearer.Expose());
    outcome.exchange.key_generation = generation;
    done(std::move(receipt), std::move(outcome));
  });
}

void AppliveryUpstream::Stop() { client_->Stop(); }

}  // namespace tokend::upstream
