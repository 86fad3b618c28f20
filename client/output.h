#pragma once

#include <string>
#include <string_view>

#include "client/client.h"

// The output of tokenctl: text with one field in each line, or the API's message as Protobuf JSON. Text
// holds no control character and no bidirectional override that the daemon sent. A token's output holds its
// bearer.
namespace tokend::client {

std::string ToText(const Token& token);
std::string ToText(const CallerInfo& info);
std::string ToText(Health health);

std::string ToJson(const Token& token);
std::string ToJson(const CallerInfo& info);
std::string ToJson(Health health);

// The error and its details, in several lines, each with a newline at its end.
std::string ToText(const Status& error);

}  // namespace tokend::client
