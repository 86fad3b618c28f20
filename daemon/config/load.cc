#include "daemon/config/load.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "daemon/base/large_blocks.h"
#include "daemon/base/read_file.h"
#include "daemon/config/steps.h"
#include "daemon/config/yaml.h"

namespace tokend::config {
namespace {

// For the schema of a text of this size, which takes about four times as much.
google::protobuf::ArenaOptions InLargeBlocks(std::size_t text_size) {
  google::protobuf::ArenaOptions options;
  options.start_block_size = std::max(options.start_block_size, 4 * text_size);
  options.max_block_size = std::max(options.max_block_size, options.start_block_size);
  options.block_alloc = &AllocateBlock;
  options.block_dealloc = &FreeBlock;
  return options;
}

}  // namespace

LoadResult Load(const std::string& path, const Config* running, NamedFiles files) {
  std::string text;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error) text.reserve(std::min<std::uintmax_t>(size, kMaxFileSize));
  const Status read = ReadBlocks(path, kMaxFileSize, Secrecy::kPublic,
                                 [&text](std::string_view block) { text.append(block); });
  if (read.ok()) return Parse(text, path, running, files);
  Report report(path);
  report.ErrorAt({}, std::string(read.message()));
  return {.errors = report.Errors(), .report = report};
}

LoadResult Parse(std::string_view text, std::string_view filename, const Config* running, NamedFiles files) {
  Report report{std::string(filename)};
  google::protobuf::Arena arena(InLargeBlocks(text.size()));
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
