#include "daemon/config/load.h"

#include <google/protobuf/arena.h>

#include <memory>
#include <utility>

#include "daemon/base/read_file.h"
#include "daemon/config/steps.h"
#include "daemon/config/yaml.h"

namespace tokend::config {

LoadResult Load(const std::string& path, const Config* running, NamedFiles files) {
  std::string text;
  const Status read = ReadBlocks(path, kMaxFileSize, Secrecy::kPublic,
                                 [&text](std::string_view block) { text.append(block); });
  if (read.ok()) return Parse(text, path, running, files);
  Report report(path);
  report.ErrorAt({}, std::string(read.message()));
  return {.errors = report.Errors(), .report = report};
}

LoadResult Parse(std::string_view text, std::string_view filename, const Config* running, NamedFiles files) {
  Report report{std::string(filename)};
  google::protobuf::Arena arena;
  auto& schema = *google::protobuf::Arena::CreateMessage<v1::Config>(&arena);
  if (text.size() > kMaxFileSize) {
    report.ErrorAt({}, "is larger than 16 MiB");
  } else if (const auto document = ParseYaml(text, report)) {
    report.SetDocument(document);
    Read(document->root(), files, report, schema);
    ApplyRules(schema, files, report);
    if (running != nullptr) CheckUnchanged(*running->schema, schema, report);
  }

  LoadResult result{.errors = report.Errors(),
                    .warnings = report.Warnings(),
                    .files = FilesOf(schema),
                    .text_fingerprint = Fingerprint(text),
                    .report = report};
  if (!result.errors.empty()) return result;
  result.config = Build(schema);
  result.config->effective = Effective(schema);
  result.config->fingerprint = Fingerprint(result.config->effective);
  result.config->files = result.files;
  result.config->warnings = result.warnings;
  // The policy is by far the largest part, and none of its keys is fixed at the start.
  schema.clear_policy();
  result.config->schema = std::make_shared<v1::Config>(schema);
  return result;
}

}  // namespace tokend::config
