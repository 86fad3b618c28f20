#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tokend/config/v1/config.pb.h"

// What single values look like: the schema's Form, in code.
namespace tokend::config {

// What is wrong with a text of this form, nothing if it is right. Files are only held to being a path here.
std::optional<std::string> WhatIsWrong(v1::Form form, std::string_view text);

// A number, duration, size or mode, and what it must look like where it does not.
std::optional<std::uint64_t> ParseQuantity(v1::Form form, std::string_view text);
std::string FormatQuantity(v1::Form form, std::uint64_t value);
std::string_view ExpectedQuantity(v1::Form form);

}  // namespace tokend::config
