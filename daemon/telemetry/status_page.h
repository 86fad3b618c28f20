#pragma once

#include <string_view>

// The status page, which page/embed.cmake makes of the files in page/: one page without a request to
// elsewhere.
namespace tokend::telemetry::page {

extern const std::string_view html;
extern const std::string_view style;   // within it
extern const std::string_view script;  // likewise

}  // namespace tokend::telemetry::page
