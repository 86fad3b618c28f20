#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "daemon/config/schema.h"
#include "daemon/config/steps.h"

namespace tokend::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

constexpr std::string_view kWhatToDo = "cannot change while the daemon runs: restart it, or put it back";

bool SameField(const Message& running, const Message& next, const FieldDescriptor& field) {
  MessageDifferencer differencer;
  return differencer.CompareWithFields(running, next, {&field}, {&field});
}

bool HasFixedKeys(const Descriptor& type) {
  const auto fields = FieldsOf(type);
  return std::any_of(fields.begin(), fields.end(),
                     [](const FieldDescriptor* field) { return OptionsOf(*field).at_start(); });
}

void Check(const Message& running, const Message& next, const std::string& path, Report& report);

void CheckItems(const Message& running, const Message& next, const FieldDescriptor& field,
                const std::string& path, Report& report) {
  if (!HasFixedKeys(*field.message_type())) return;
  const int size = next.GetReflection()->FieldSize(next, &field);
  if (running.GetReflection()->FieldSize(running, &field) != size) return report.Error(path, kWhatToDo);
  for (int i = 0; i < size; ++i) {
    Check(running.GetReflection()->GetRepeatedMessage(running, &field, i),
          next.GetReflection()->GetRepeatedMessage(next, &field, i), Item(path, i), report);
  }
}

void Check(const Message& running, const Message& next, const std::string& path, Report& report) {
  for (const FieldDescriptor* field : FieldsOf(*next.GetDescriptor())) {
    const std::string key = Under(path, field->name());
    if (OptionsOf(*field).at_start()) {
      if (!SameField(running, next, *field)) report.Error(key, kWhatToDo);
    } else if (field->message_type() != nullptr && field->is_repeated()) {
      CheckItems(running, next, *field, key, report);
    } else if (field->message_type() != nullptr) {
      Check(running.GetReflection()->GetMessage(running, field),
            next.GetReflection()->GetMessage(next, field), key, report);
    }
  }
}

}  // namespace

void CheckUnchanged(const v1::Config& running, const v1::Config& next, Report& report) {
  Check(running, next, "", report);
}

}  // namespace tokend::config
