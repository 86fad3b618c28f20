#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tokend/config/v1/config.pb.h"

// Judges, reads and writes single values: the schema's Form, in code.
namespace tokend::config {

// Why a text is not of this form; nothing where it is. Of a file only the path is judged here.
std::optional<std::string> WhatIsWrong(v1::Form form, std::string_view text);

// A number, duration, size or mode. ExpectedQuantity is the error of a text that is none.
std::optional<std::uint64_t> ParseQuantity(v1::Form form, std::string_view text);
std::string FormatQuantity(v1::Form form, std::uint64_t value);
std::string_view ExpectedQuantity(v1::Form form);

}  // namespace tokend::config
