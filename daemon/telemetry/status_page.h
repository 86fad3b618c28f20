#pragma once

#include <string_view>

// The status page. page/embed.cmake makes one page of the files in page/. The page asks no other server for
// anything.
namespace tokend::telemetry::page {

extern const std::string_view html;
extern const std::string_view style;   // the text of the page's <style>
extern const std::string_view script;  // the text of the page's <script>

}  // namespace tokend::telemetry::page
