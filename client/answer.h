#pragma once

#include "client/client.h"
#include "tokend/v1/token_service.pb.h"

// What the daemon's answers say.
namespace tokend::client {

// Moves the token out of the answer to `request`, and wipes the answer's bearer. INTERNAL says which field
// keeps the message from being an answer to this request; a token may exist then.
Result<Token> TakeToken(const v1::CreateTokenRequest& request, v1::CreateTokenResponse& response);

CallerInfo ToCallerInfo(const v1::GetCallerResponse& response);

}  // namespace tokend::client
