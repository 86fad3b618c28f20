#include "daemon/config/schema.h"

#include <string_view>

#include "daemon/base/text.h"

namespace tokend::config {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

const v1::KeyOptions& OptionsOf(const FieldDescriptor& field) {
  return field.options().GetExtension(v1::key);
}

std::vector<const FieldDescriptor*> FieldsOf(const Descriptor& type) {
  std::vector<const FieldDescriptor*> fields;
  fields.reserve(static_cast<std::size_t>(type.field_count()));
  for (int i = 0; i < type.field_count(); ++i) fields.push_back(type.field(i));
  return fields;
}

const google::protobuf::RepeatedPtrField<v1::Organization>& OrganizationsOf(const v1::Upstream& upstream) {
  switch (upstream.kind_case()) {
    case v1::Upstream::kApplivery:
      return upstream.applivery().organizations();
    case v1::Upstream::kTokend:  // grants name them
    case v1::Upstream::KIND_NOT_SET:
      break;
  }
  return v1::Applivery::default_instance().organizations();
}

bool IsFile(v1::Form form) { return form == v1::FORM_FILE || form == v1::FORM_SECRET_FILE; }

std::string WordOf(const EnumValueDescriptor& value) {
  constexpr std::string_view kUnspecified = "UNSPECIFIED";
  const std::size_t prefix = value.type()->value(0)->name().size() - kUnspecified.size();
  return Lower(value.name().substr(prefix));
}

std::vector<const EnumValueDescriptor*> ValuesOf(const EnumDescriptor& type) {
  std::vector<const EnumValueDescriptor*> values;
  for (int i = 1; i < type.value_count(); ++i) values.push_back(type.value(i));
  return values;
}

}  // namespace tokend::config
