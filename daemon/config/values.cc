#include "daemon/config/values.h"

#include <algorithm>
#include <array>

#include "daemon/base/caller_name.h"
#include "daemon/base/form.h"
#include "daemon/base/pattern.h"
#include "daemon/base/text.h"
#include "daemon/config/address.h"
#include "daemon/config/caller_template.h"
#include "daemon/config/units.h"

namespace tokend::config {
namespace {

using Fault = std::optional<std::string>;

constexpr std::size_t kMaxText = 4096;  // bytes; PATH_MAX too
constexpr std::size_t kMaxFileName = 255;

Fault Unless(bool right, std::string_view what) { return right ? Fault() : Fault(what); }

template <class T>
Fault FaultOf(const Result<T>& result) {
  return result.ok() ? Fault() : Fault(std::string(result.status().message()));
}

Fault CheckResourcePattern(std::string_view text) {
  if (text == "*") return std::nullopt;
  if (!Contains(text, '*')) {
    return Unless(IsResourceName(text), "must be 24 hex digits, or 3 to 128 of [A-Za-z0-9-]");
  }
  if (!ConsistsOf(text, 128, "-*")) return "no name matches this: names consist of 3 to 128 of [A-Za-z0-9-]";
  return FaultOf(Pattern::Parse(text));
}

Fault CheckDescription(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kPlaceholders = {"{description}", "{caller}",
                                                                    "{request_id}", "{on_behalf_of}"};
  std::string literal;
  while (!text.empty()) {
    const auto* placeholder = std::find_if(kPlaceholders.begin(), kPlaceholders.end(),
                                           [text](std::string_view p) { return text.starts_with(p); });
    if (placeholder != kPlaceholders.end()) {
      text.remove_prefix(placeholder->size());
      continue;
    }
    if (text.front() == '{' || text.front() == '}') {
      return "braces stand only in {description}, {caller}, {request_id} and {on_behalf_of}";
    }
    literal += text.front();
    text.remove_prefix(1);
  }
  const auto length = Utf16Length(literal);
  return Unless(length && *length <= kMaxDescriptionUtf16, "is longer than a token's description may be");
}

Fault CheckAddress(v1::Form form, std::string_view text) {
  const Result<Address> address = ParseAddress(text);
  if (!address.ok()) return FaultOf(address);
  const auto* tcp = std::get_if<TcpAddress>(&*address);
  if (form == v1::FORM_TCP_LISTEN_ADDRESS) return Unless(tcp != nullptr, "must be host:port");
  if (form == v1::FORM_REMOTE_ADDRESS) {
    return Unless(tcp == nullptr || tcp->port != 0, "the port must be a number from 1 to 65535");
  }
  return std::nullopt;
}

Fault CheckHttpsUrl(std::string_view text) {
  const std::size_t query = std::min(text.find('?'), text.size());
  const Result<BaseUrl> url = ParseBaseUrl(text.substr(0, query));
  if (!url.ok()) return FaultOf(url);
  if (!url->https) return "must begin with https://";
  const bool right =
      query == text.size() || ConsistsOf(text.substr(query + 1), kMaxText, "-._~=&%+:/@!$'()*,;");
  return Unless(right, "the query may hold what RFC 3986 lets stand in one, and must not be empty");
}

// Characters that a quoted text of YAML can name by an escape, but that a YAML file must not hold. So the
// configuration in effect could not be printed with them.
bool HasUnprintable(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kUnprintable = {
      "\u2028", "\u2029", "\uFEFF", "\uFFFE", "\uFFFF",
  };
  return std::ranges::any_of(kUnprintable, [text](std::string_view character) {
    return text.find(character) != std::string_view::npos;
  });
}

Fault CheckText(std::string_view text) {
  if (text.empty()) return "must not be empty";
  if (text.size() > kMaxText) return Concat({"is longer than ", std::to_string(kMaxText), " bytes"});
  if (HasUnprintable(text)) return "must not hold U+2028, U+2029, U+FEFF, U+FFFE or U+FFFF";
  return Unless(!HasControlCharacters(text), "must not hold control characters");
}

// How numbers of a form are written.
struct Notation {
  v1::Form form;
  std::optional<std::uint64_t> (*parse)(std::string_view text);
  std::string (*format)(std::uint64_t value);
  std::string_view expected;
};
constexpr std::array<Notation, 4> kNotations = {{
    {v1::FORM_DURATION, ParseDuration, FormatDuration, "must be a duration such as 250ms, 30s, 10m or 24h"},
    {v1::FORM_SIZE, ParseSize, FormatSize, "must be a size such as 64KiB, 256MiB or 1GiB"},
    {v1::FORM_MODE, ParseMode,
     [](std::uint64_t mode) {
       return Concat({"\"", FormatMode(mode), "\""});
     },
     "must be four octal digits that begin with 0, such as \"0660\""},
    {v1::FORM_UNSPECIFIED, ParseNumber, [](std::uint64_t number) { return std::to_string(number); },
     "must be a whole number, without quotes"},
}};

const Notation& NotationOf(v1::Form form) {
  return *std::find_if(kNotations.begin(), kNotations.end() - 1,
                       [form](const Notation& notation) { return notation.form == form; });
}

}  // namespace

std::optional<std::string> WhatIsWrong(v1::Form form, std::string_view text) {
  if (Fault fault = CheckText(text)) return fault;
  switch (form) {
    case v1::FORM_NAME:
      return Unless(ConsistsOf(text, 64, "._-"), "must be 1 to 64 of [A-Za-z0-9._-]");
    case v1::FORM_RESOURCE_NAME:
      return Unless(IsResourceName(text), "must be 24 hex digits, or 3 to 128 of [A-Za-z0-9-]");
    case v1::FORM_RESOURCE_PATTERN:
      return CheckResourcePattern(text);
    case v1::FORM_SCOPE:
      return Unless(IsScope(text), "must be 1 to 64 of [A-Za-z0-9._:-]");
    case v1::FORM_CALLER:
      return Unless(IsCallerName(text), "must be 1 to 512 printable ASCII characters without spaces");
    case v1::FORM_CALLER_PATTERN:
      return FaultOf(Pattern::Parse(text));
    case v1::FORM_CALLER_TEMPLATE:
      return FaultOf(ParseCallerTemplate(text));
    case v1::FORM_TRUST_DOMAIN:
      return Unless(IsTrustDomain(text), "must be a trust domain's name, 1 to 255 of [a-z0-9._-]");
    case v1::FORM_DESCRIPTION:
      return CheckDescription(text);
    case v1::FORM_LISTEN_ADDRESS:
    case v1::FORM_TCP_LISTEN_ADDRESS:
    case v1::FORM_REMOTE_ADDRESS:
      return CheckAddress(form, text);
    case v1::FORM_BASE_URL:
      return FaultOf(ParseBaseUrl(text));
    case v1::FORM_PROXY:
      return FaultOf(ParseProxy(text));
    case v1::FORM_SERVER_NAME:
      return Unless(IsHost(text), "must be a host's name or IP address, without a port");
    case v1::FORM_HTTPS_URL:
      return CheckHttpsUrl(text);
    case v1::FORM_ENVIRONMENT_VARIABLE:
      return Unless(ConsistsOf(text, kMaxFileName, "_") && !IsDigit(text[0]),
                    "must be a variable's name, [A-Za-z_][A-Za-z0-9_]*");
    case v1::FORM_CREDENTIAL:
      return Unless(ConsistsOf(text, kMaxFileName, "._-") && text != "." && text != "..",
                    "must be a file name of [A-Za-z0-9._-]");
    case v1::FORM_PATH:
      return Unless(text.back() != '/', "must name a file, not a folder");
    default:
      return std::nullopt;
  }
}

std::optional<std::uint64_t> ParseQuantity(v1::Form form, std::string_view text) {
  return NotationOf(form).parse(text);
}

std::string FormatQuantity(v1::Form form, std::uint64_t value) { return NotationOf(form).format(value); }

std::string_view ExpectedQuantity(v1::Form form) { return NotationOf(form).expected; }

}  // namespace tokend::config
