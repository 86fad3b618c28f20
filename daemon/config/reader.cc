#include <google/protobuf/message.h>

#include <cassert>
#include <map>

#include "daemon/base/text.h"
#include "daemon/config/nearest.h"
#include "daemon/config/schema.h"
#include "daemon/config/steps.h"
#include "daemon/config/units.h"
#include "daemon/config/values.h"

namespace tokend::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using Kind = YamlNode::Kind;

// A key as an error quotes it. Text that does not look like a key is not quoted: it may be a misplaced value,
// even a secret.
std::string Quote(const std::string& key) {
  const bool plausible = key.empty() || ConsistsOf(key, 32, "_-");
  return plausible ? Concat({" \"", key, "\""}) : "";
}

class Reader {
 public:
  Reader(NamedFiles files, Report& report) : files_(files), report_(report) {}

  void ReadMapping(const YamlNode& node, const std::string& path, Message& message) {
    if (node.kind != Kind::kMapping) return report_.ErrorAt(node.position, Expected(path, "a mapping"));
    const Descriptor& type = *message.GetDescriptor();
    std::map<const FieldDescriptor*, Position> given;
    std::map<const FieldDescriptor*, Position> meant;
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const YamlNode& key = node.keys[i];
      const FieldDescriptor* field = type.FindFieldByName(key.text);
      if (field == nullptr) {
        meant.insert({ReportUnknown(key, path, type), key.position});
        continue;
      }
      const auto [first, is_first] = given.insert({field, key.position});
      if (!is_first) {
        report_.ErrorAt(key.position, Concat({Under(path, key.text), ": is given twice, first on line ",
                                              std::to_string(first->second.line)}));
        continue;
      }
      ReadEntry(key, node.items[i], Under(path, key.text), message, *field);
    }
    given.merge(meant);
    for (const FieldDescriptor* field : FieldsOf(type)) {
      if (given.count(field) == 0) ReadAbsent(path, message, *field);
    }
    for (int i = 0; i < type.real_oneof_decl_count(); ++i) CheckOneof(*type.oneof_decl(i), path, given);
  }

 private:
  static std::string Expected(const std::string& path, std::string_view what) {
    return path.empty() ? Concat({"must be ", what}) : Concat({path, ": must be ", what});
  }

  // Answers the field that was probably meant, so that it is not also reported as missing.
  const FieldDescriptor* ReportUnknown(const YamlNode& key, const std::string& path, const Descriptor& type) {
    if (key.text == "<<") {
      report_.ErrorAt(key.position, "merge keys are not accepted: write the keys out");
      return nullptr;
    }
    std::vector<std::string> known;
    for (const FieldDescriptor* field : FieldsOf(type)) known.push_back(field->name());
    const auto nearest = Nearest(key.text, known);
    const std::string what = Concat({"unknown key", Quote(key.text), Suggest(nearest)});
    report_.ErrorAt(key.position, path.empty() ? what : Concat({path, ": ", what}));
    if (!nearest) return nullptr;
    report_.Locate(Under(path, *nearest), key.position);
    return type.FindFieldByName(*nearest);
  }

  void ReadEntry(const YamlNode& key, const YamlNode& value, const std::string& path, Message& message,
                 const FieldDescriptor& field) {
    const bool scalar = value.kind == Kind::kScalar;
    report_.Locate(path, scalar ? value.position : key.position);
    if (value.kind == Kind::kNull) {
      return report_.ErrorAt(key.position, Concat({path, ": has no value"}));
    }
    ReadValue(value, path, message, field);
  }

  void ReadValue(const YamlNode& node, const std::string& path, Message& message,
                 const FieldDescriptor& field) {
    if (field.is_repeated()) return ReadList(node, path, message, field);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMapping(node, path, *message.GetReflection()->MutableMessage(&message, &field));
    }
    ReadScalar(node, path, message, field);
  }

  void ReadList(const YamlNode& node, const std::string& path, Message& message,
                const FieldDescriptor& field) {
    if (node.kind != Kind::kSequence) return report_.ErrorAt(node.position, Expected(path, "a list"));
    const v1::KeyOptions& options = OptionsOf(field);
    if (node.items.size() < options.min_items()) report_.Error(path, "must not be empty");
    if (options.max_items() != 0 && node.items.size() > options.max_items()) {
      report_.Error(path, Concat({"has more than ", std::to_string(options.max_items()), " items"}));
    }
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      report_.Locate(Item(path, i), node.items[i].position);
      ReadItem(node.items[i], Item(path, i), message, field);
    }
    CheckUnique(node, path, field);
  }

  // An item with an error stays as an empty one, so that the items after it keep their indexes.
  void ReadItem(const YamlNode& item, const std::string& path, Message& message,
                const FieldDescriptor& field) {
    const auto& reflection = *message.GetReflection();
    if (item.kind == Kind::kNull) report_.Error(path, "has no value");
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message& added = *reflection.AddMessage(&message, &field);
      if (item.kind != Kind::kNull) ReadMapping(item, path, added);
      return;
    }
    const int size = reflection.FieldSize(message, &field);
    if (item.kind != Kind::kNull) ReadScalar(item, path, message, field);
    if (reflection.FieldSize(message, &field) == size) reflection.AddString(&message, &field, "");
  }

  // Compares texts: in these forms each value has one spelling.
  void CheckUnique(const YamlNode& list, const std::string& path, const FieldDescriptor& field) {
    if (OptionsOf(field).unique()) {
      std::map<std::string, std::string> first;
      for (std::size_t i = 0; i < list.items.size(); ++i) ReportIfTaken(list.items[i], Item(path, i), first);
    }
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return;
    for (const FieldDescriptor* key : FieldsOf(*field.message_type())) {
      if (!OptionsOf(*key).unique() || key->is_repeated()) continue;
      std::map<std::string, std::string> first;
      for (std::size_t i = 0; i < list.items.size(); ++i) {
        const YamlNode& item = list.items[i];
        for (std::size_t j = 0; j < item.keys.size(); ++j) {
          if (item.keys[j].text != key->name()) continue;
          ReportIfTaken(item.items[j], Under(Item(path, i), key->name()), first);
          break;
        }
      }
    }
  }

  void ReportIfTaken(const YamlNode& value, const std::string& path,
                     std::map<std::string, std::string>& first) {
    if (value.kind != Kind::kScalar) return;
    const auto [taken, is_first] = first.insert({value.text, path});
    if (!is_first) report_.Error(path, Concat({"is the same as ", taken->second}));
  }

  void ReadAbsent(const std::string& path, Message& message, const FieldDescriptor& field) {
    const v1::KeyOptions& options = OptionsOf(field);
    if (options.required()) return report_.Error(Under(path, field.name()), "is required");
    if (options.default_value().empty()) return;
    // A report of its own: positions in a default are not positions in the file, and an error in a default is
    // an error of the schema.
    Report own("default");
    const auto value = ParseYaml(options.default_value(), own);
    assert(value);
    Reader(files_, own).ReadValue(*value, field.name(), message, field);
    assert(own.Errors().empty());
  }

  void CheckOneof(const OneofDescriptor& oneof, const std::string& path,
                  const std::map<const FieldDescriptor*, Position>& given) {
    std::vector<std::string> choices;
    const FieldDescriptor* chosen = nullptr;
    for (int i = 0; i < oneof.field_count(); ++i) {
      const FieldDescriptor* field = oneof.field(i);
      choices.push_back(field->name());
      if (given.count(field) == 0) continue;
      if (chosen != nullptr) {
        report_.ErrorAt(given.at(field), Concat({Under(path, field->name()), ": cannot stand beside ",
                                                 chosen->name(), ": give one of them"}));
      }
      chosen = field;
    }
    if (chosen != nullptr) return;
    report_.Error(path, Concat({"needs exactly one of ", Enumerate(choices)}));
  }

  void ReadScalar(const YamlNode& node, const std::string& path, Message& message,
                  const FieldDescriptor& field) {
    if (node.kind != Kind::kScalar) {
      // "{caller}" is common in texts, and without quotes it is a mapping.
      const bool unquoted_text = node.flow && field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
      return report_.ErrorAt(node.position,
                             Expected(path, unquoted_text ? "a single value; put it in quotes if it is a text"
                                                          : "a single value"));
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return ReadText(node, path, message, field);
      case FieldDescriptor::CPPTYPE_ENUM:
        return ReadWord(node, path, message, field);
      case FieldDescriptor::CPPTYPE_BOOL:
        if (node.quoted || (node.text != "true" && node.text != "false")) {
          return report_.Error(path, "must be true or false, without quotes");
        }
        return message.GetReflection()->SetBool(&message, &field, node.text == "true");
      default:
        return ReadQuantity(node, path, message, field);
    }
  }

  void ReadText(const YamlNode& node, const std::string& path, Message& message,
                const FieldDescriptor& field) {
    const v1::KeyOptions& options = OptionsOf(field);
    if (const auto fault = WhatIsWrong(options.form(), node.text)) return report_.Error(path, *fault);
    if (IsFile(options.form()) && files_ == NamedFiles::kJudged) {
      CheckFile(options, node.text, path, report_);
    }
    const auto& reflection = *message.GetReflection();
    if (field.is_repeated()) return reflection.AddString(&message, &field, node.text);
    reflection.SetString(&message, &field, node.text);
  }

  void ReadWord(const YamlNode& node, const std::string& path, Message& message,
                const FieldDescriptor& field) {
    std::vector<std::string> words;
    for (const EnumValueDescriptor* value : ValuesOf(*field.enum_type())) {
      words.push_back(WordOf(*value));
      if (words.back() == node.text) return message.GetReflection()->SetEnum(&message, &field, value);
    }
    report_.Error(path, Concat({"must be one of ", Enumerate(words), Suggest(Nearest(node.text, words))}));
  }

  void ReadQuantity(const YamlNode& node, const std::string& path, Message& message,
                    const FieldDescriptor& field) {
    const v1::KeyOptions& options = OptionsOf(field);
    const v1::Form form = options.form();
    const auto value = ParseQuantity(form, node.text);
    if (!value || (form == v1::FORM_UNSPECIFIED && node.quoted))
      return report_.Error(path, ExpectedQuantity(form));
    const auto least = ParseQuantity(form, options.min());
    const auto most = ParseQuantity(form, options.max());
    if ((least && *value < *least) || (most && *value > *most)) {
      return report_.Error(path, Concat({"must be from ", options.min(), " to ", options.max()}));
    }
    const auto& reflection = *message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_UINT32:
        return reflection.SetUInt32(&message, &field, static_cast<std::uint32_t>(*value));
      case FieldDescriptor::CPPTYPE_UINT64:
        return reflection.SetUInt64(&message, &field, *value);
      default:
        return reflection.SetInt64(&message, &field, static_cast<std::int64_t>(*value));
    }
  }

  const NamedFiles files_;
  Report& report_;
};

}  // namespace

void Read(const YamlNode& document, NamedFiles files, Report& report, v1::Config& schema) {
  Reader(files, report).ReadMapping(document, "", schema);
}

}  // namespace tokend::config
