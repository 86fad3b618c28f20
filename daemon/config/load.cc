#include "daemon/config/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/config/build.h"
#include "daemon/config/effective.h"
#include "daemon/config/files.h"
#include "daemon/config/reader.h"
#include "daemon/config/report.h"
#include "daemon/config/rules.h"
#include "daemon/config/unchanged.h"
#include "daemon/config/yaml.h"

namespace tokend::config {
namespace {

constexpr std::size_t kBlockBytes = 4096;

LoadResult Unreadable(const std::string& path, const std::string& why) {
  Report report(path);
  report.ErrorAt(Position{}, why);
  return {.config = std::nullopt,
          .errors = report.Errors(),
          .warnings = {},
          .files = {},
          .text_fingerprint = {},
          .report = report};
}

}  // namespace

LoadResult Load(const std::string& path, const Config* running, NamedFiles files) {
  // Non-blocking, so that a pipe without a writer cannot hold the start up.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Unreadable(path, "cannot be opened: " + std::generic_category().message(errno));
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return Unreadable(path, "is not a regular file");

  std::string text;
  std::array<char, kBlockBytes> block;
  while (text.size() <= kMaxFileSize) {
    const ssize_t count = read(file, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Unreadable(path, "cannot be read: " + std::generic_category().message(errno));
    if (count == 0) break;
    text.append(block.data(), static_cast<std::size_t>(count));
  }
  return Parse(text, path, running, files);
}

LoadResult Parse(std::string_view text, std::string_view filename, const Config* running, NamedFiles files) {
  Report report{std::string(filename)};
  v1::Config schema;
  if (text.size() > kMaxFileSize) {
    report.ErrorAt(Position{}, "is larger than 16 MiB");
  } else if (const auto document = ParseYaml(text, report)) {
    Read(*document, files, report, schema);
    ApplyRules(schema, files, report);
    if (running != nullptr) CheckUnchanged(*running->schema, schema, report);
  }

  LoadResult result{.config = std::nullopt,
                    .errors = report.Errors(),
                    .warnings = report.Warnings(),
                    .files = FilesOf(schema),
                    .text_fingerprint = Fingerprint(text),
                    .report = report};
  if (!result.errors.empty()) return result;
  result.config = Build(schema);
  result.config->effective = Effective(schema);
  result.config->fingerprint = Fingerprint(result.config->effective);
  result.config->files = result.files;
  result.config->schema = std::make_shared<v1::Config>(std::move(schema));
  result.config->warnings = result.warnings;
  return result;
}

}  // namespace tokend::config
