#include <fcntl.h>
#include <google/protobuf/message.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <system_error>

#include "daemon/base/descriptor.h"
#include "daemon/base/read_file.h"
#include "daemon/base/text.h"
#include "daemon/config/schema.h"
#include "daemon/config/steps.h"
#include "daemon/config/units.h"

namespace tokend::config {
namespace {

std::string CannotBeRead() { return "the file cannot be read: " + std::generic_category().message(errno); }

void CollectFiles(const google::protobuf::Message& message, std::set<std::string>& files) {
  using google::protobuf::FieldDescriptor;
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> present;
  reflection.ListFields(message, &present);
  for (const FieldDescriptor* field : present) {
    if (IsFile(OptionsOf(*field).form())) {
      files.insert(reflection.GetString(message, field));
    } else if (field->message_type() != nullptr && field->is_repeated()) {
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        CollectFiles(reflection.GetRepeatedMessage(message, field, i), files);
      }
    } else if (field->message_type() != nullptr) {
      CollectFiles(reflection.GetMessage(message, field), files);
    }
  }
}

}  // namespace

std::vector<std::string> FilesOf(const v1::Config& schema) {
  std::set<std::string> files;
  CollectFiles(schema, files);
  return {files.begin(), files.end()};
}

void CheckFile(const v1::KeyOptions& options, const std::string& file, const std::string& key,
               Report& report) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) return report.Error(key, CannotBeRead());
  if (!S_ISREG(status.st_mode)) return report.Error(key, "is not a regular file");
  // access(2) would judge by the real user and not by the effective one.
  const Descriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!opened) return report.Error(key, CannotBeRead());

  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size == 0) return report.Error(key, "the file is empty");
  if (const auto least = ParseNumber(options.min()); least && size < *least) {
    report.Error(key, Concat({"the file must hold at least ", std::to_string(*least), " bytes"}));
  }
  if (const auto most = ParseNumber(options.max()); most && size > *most) {
    report.Error(key, Concat({"the file must hold at most ", std::to_string(*most), " bytes"}));
  }
  if (options.form() != v1::FORM_SECRET_FILE) return;
  if (const char* why = WhyExposed(status.st_mode)) report.Error(key, Concat({"the file ", why}));
}

}  // namespace tokend::config
