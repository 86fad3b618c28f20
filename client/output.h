#pragma once

#include <string>
#include <string_view>

#include "client/client.h"

// What tokenctl writes: for people, a line a field, or as Protobuf JSON of the API's message. Whatever the
// daemon sent, no control character reaches the terminal. A token's output holds its bearer.
namespace tokend::client {

std::string ToText(const Token& token);
std::string ToText(const CallerInfo& info);
std::string ToText(Health health);

std::string ToJson(const Token& token);
std::string ToJson(const CallerInfo& info);
std::string ToJson(Health health);

// The error and all its details, several lines.
std::string ToText(const Status& error);

}  // namespace tokend::client
