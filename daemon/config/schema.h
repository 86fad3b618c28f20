#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "tokend/config/v1/config.pb.h"

// What the schema says of its keys (proto/tokend/config/v1/config.proto).
namespace tokend::config {

const v1::KeyOptions& OptionsOf(const google::protobuf::FieldDescriptor& field);

std::vector<const google::protobuf::FieldDescriptor*> FieldsOf(const google::protobuf::Descriptor& type);

// The form is of a file that must be there.
bool IsFile(v1::Form form);

// An enumeration's value as YAML has it: "warning" for LEVEL_WARNING. The unspecified one is none of them.
std::string WordOf(const google::protobuf::EnumValueDescriptor& value);
std::vector<const google::protobuf::EnumValueDescriptor*> ValuesOf(
    const google::protobuf::EnumDescriptor& type);

}  // namespace tokend::config
