#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "tokend/config/v1/config.pb.h"

// What the schema says about its keys (proto/tokend/config/v1/config.proto).
namespace tokend::config {

const v1::KeyOptions& OptionsOf(const google::protobuf::FieldDescriptor& field);

std::vector<const google::protobuf::FieldDescriptor*> FieldsOf(const google::protobuf::Descriptor& type);

// The organizations that the upstream lists. A central tokend lists none: the result is empty.
const google::protobuf::RepeatedPtrField<v1::Organization>& OrganizationsOf(const v1::Upstream& upstream);

// Whether the form is of a file that must exist.
bool IsFile(v1::Form form);

// An enumeration's value as YAML writes it: "warning" for LEVEL_WARNING. ValuesOf leaves out the unspecified
// one.
std::string WordOf(const google::protobuf::EnumValueDescriptor& value);
std::vector<const google::protobuf::EnumValueDescriptor*> ValuesOf(
    const google::protobuf::EnumDescriptor& type);

}  // namespace tokend::config
