#include "daemon/config/report.h"

#include <algorithm>

#include "daemon/base/text.h"

namespace tokend::config {

std::string Under(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : Concat({path, ".", key});
}

void Report::Error(const std::string& path, std::string_view text) {
  errors_.push_back({PlaceOf(path), Concat({path, ": ", text})});
}

void Report::Warning(const std::string& path, std::string_view text) {
  warnings_.push_back({PlaceOf(path), Concat({path, ": ", text})});
}

void Report::ErrorAt(Position position, std::string_view text) {
  errors_.push_back({position, std::string(text)});
}

Position Report::PlaceOf(std::string_view path) const {
  while (!path.empty()) {
    const auto place = places_.find(std::string(path));
    if (place != places_.end()) return place->second;
    const std::size_t end = path.find_last_of(".[");
    path = path.substr(0, end == std::string_view::npos ? 0 : end);
  }
  return {};
}

std::vector<std::string> Report::Lines(std::vector<Finding> findings, std::string_view severity) const {
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& left, const Finding& right) { return left.position < right.position; });
  std::vector<std::string> lines;
  for (const Finding& finding : findings) {
    const auto& [line, column] = finding.position;
    const std::string place =
        Concat({filename_, ":", std::to_string(line), ":", std::to_string(column), ": ", severity, ": "});
    if (lines.size() == kMaxLines) {
      lines.push_back(Concat({place, std::to_string(findings.size() - kMaxLines), " more from here on"}));
      break;
    }
    lines.push_back(Concat({place, finding.text}));
  }
  return lines;
}

}  // namespace tokend::config
