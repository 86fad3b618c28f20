#include "daemon/audit/log_names.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tokend::audit {
namespace {

constexpr std::size_t kDigits = 20;  // as many as the greatest number has

}  // namespace

LogNames::LogNames(std::string open) : open_(std::move(open)) {
  const std::size_t dot = open_.rfind('.');
  const std::size_t stem = dot == std::string::npos || dot == 0 ? open_.size() : dot;
  stem_ = open_.substr(0, stem);
  extension_ = open_.substr(stem);
}

std::string LogNames::CloseAs(std::uint64_t first, const std::vector<std::string>& taken) const {
  std::string name = absl::StrCat(stem_, "-", absl::Dec(first, absl::kZeroPad20));
  while (std::find(taken.begin(), taken.end(), name + extension_) != taken.end()) name += "-r";
  return name + extension_;
}

std::vector<LogNames::Closed> LogNames::FindClosed(const std::vector<std::string>& names) const {
  std::vector<Closed> closed;
  for (const std::string& name : names) {
    if (std::optional<Closed> parsed = ParseClosed(name)) closed.push_back(*std::move(parsed));
  }
  // Of two files with the same number, the one with more "-r" is newer.
  std::sort(closed.begin(), closed.end(), [](const Closed& a, const Closed& b) {
    return std::pair(a.first, a.name.size()) < std::pair(b.first, b.name.size());
  });
  return closed;
}

std::optional<LogNames::Closed> LogNames::ParseClosed(const std::string& name) const {
  const std::string beginning = stem_ + "-";
  if (!name.starts_with(beginning) || name.size() < beginning.size() + kDigits) return std::nullopt;
  std::string_view rest = std::string_view(name).substr(beginning.size());
  std::uint64_t first = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + kDigits, first);
  if (error != std::errc() || end != rest.data() + kDigits) return std::nullopt;
  rest.remove_prefix(kDigits);
  while (rest.substr(0, 2) == "-r") rest.remove_prefix(2);
  if (rest != extension_) return std::nullopt;
  return Closed{first, name};
}

}  // namespace tokend::audit
