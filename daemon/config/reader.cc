#include <google/protobuf/message.h>

#include <cassert>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/container/inlined_vector.h"
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
std::string Quote(std::string_view key) {
  const bool plausible = key.empty() || ConsistsOf(key, 32, "_-");
  return plausible ? Concat({" \"", key, "\""}) : "";
}

// The place of a key or an item in the configuration. Most are never printed, so the text is made where one
// is.
struct Path {
  const Path* around = nullptr;
  std::string_view key = {};  // empty: an item of the list
  std::size_t index = 0;

  bool is_root() const { return around == nullptr; }
  std::string Text() const {
    if (is_root()) return "";
    return key.empty() ? Item(around->Text(), index) : Under(around->Text(), key);
  }
};

// The values of absent keys, each parsed once.
class Defaults {
 public:
  const YamlNode& Of(const FieldDescriptor& field, Report& report) {
    auto& document = documents_[&field];
    if (document == nullptr) document = ParseYaml(OptionsOf(field).default_value(), report);
    assert(document != nullptr);
    return document->root();
  }

 private:
  std::map<const FieldDescriptor*, std::shared_ptr<const YamlDocument>> documents_;
};

class Reader {
 public:
  Reader(NamedFiles files, Defaults& defaults, Report& report)
      : files_(files), defaults_(defaults), report_(report) {}

  void ReadMapping(const YamlNode& node, const Path& path, Message& message) {
    if (node.kind != Kind::kMapping) return report_.ErrorAt(node.position, Expected(path, "a mapping"));
    const Descriptor& type = *message.GetDescriptor();
    Given given(static_cast<std::size_t>(type.field_count()));
    Given meant = given;
    for (std::size_t i = 0; i < node.keys().size(); ++i) {
      const YamlNode& key = node.keys()[i];
      const FieldDescriptor* field = type.FindFieldByName(std::string(key.text()));
      if (field == nullptr) {
        field = ReportUnknown(key, path, type);
        if (field != nullptr) meant[IndexOf(*field)] = key.position;
        continue;
      }
      std::optional<Position>& first = given[IndexOf(*field)];
      if (first) {
        report_.ErrorAt(key.position,
                        Concat({Path{&path, key.text()}.Text(), ": is given twice, first on line ",
                                std::to_string(first->line)}));
        continue;
      }
      first = key.position;
      ReadEntry(key, node.items()[i], {&path, key.text()}, message, *field);
    }
    for (std::size_t i = 0; i < given.size(); ++i) {
      if (!given[i]) given[i] = meant[i];
      if (!given[i]) ReadAbsent(path, message, *type.field(static_cast<int>(i)));
    }
    for (int i = 0; i < type.real_oneof_decl_count(); ++i) CheckOneof(*type.oneof_decl(i), path, given);
  }

  void ReadValue(const YamlNode& node, const Path& path, Message& message, const FieldDescriptor& field) {
    if (field.is_repeated()) return ReadList(node, path, message, field);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMapping(node, path, *message.GetReflection()->MutableMessage(&message, &field));
    }
    ReadScalar(node, path, message, field);
  }

 private:
  // Where each key of a mapping stands, by the index of its field.
  using Given = absl::InlinedVector<std::optional<Position>, 16>;
  static std::size_t IndexOf(const FieldDescriptor& field) { return static_cast<std::size_t>(field.index()); }

  static std::string Expected(const Path& path, std::string_view what) {
    return path.is_root() ? Concat({"must be ", what}) : Concat({path.Text(), ": must be ", what});
  }

  // Answers the field that was probably meant, so that it is not also reported as missing.
  const FieldDescriptor* ReportUnknown(const YamlNode& key, const Path& path, const Descriptor& type) {
    if (key.text() == "<<") {
      report_.ErrorAt(key.position, "merge keys are not accepted: write the keys out");
      return nullptr;
    }
    std::vector<std::string> known;
    for (const FieldDescriptor* field : FieldsOf(type)) known.push_back(field->name());
    const auto nearest = Nearest(std::string(key.text()), known);
    const std::string what = Concat({"unknown key", Quote(key.text()), Suggest(nearest)});
    report_.ErrorAt(key.position, path.is_root() ? what : Concat({path.Text(), ": ", what}));
    if (!nearest) return nullptr;
    report_.Locate(Path{&path, *nearest}.Text(), key.position);
    return type.FindFieldByName(*nearest);
  }

  void ReadEntry(const YamlNode& key, const YamlNode& value, const Path& path, Message& message,
                 const FieldDescriptor& field) {
    if (value.kind == Kind::kNull) {
      return report_.ErrorAt(key.position, Concat({path.Text(), ": has no value"}));
    }
    ReadValue(value, path, message, field);
  }

  void ReadList(const YamlNode& node, const Path& path, Message& message, const FieldDescriptor& field) {
    if (node.kind != Kind::kSequence) return report_.ErrorAt(node.position, Expected(path, "a list"));
    const v1::KeyOptions& options = OptionsOf(field);
    const auto items = node.items();
    if (items.size() < options.min_items()) report_.Error(path.Text(), "must not be empty");
    if (options.max_items() != 0 && items.size() > options.max_items()) {
      report_.Error(path.Text(), Concat({"has more than ", std::to_string(options.max_items()), " items"}));
    }
    for (std::size_t i = 0; i < items.size(); ++i) ReadItem(items[i], {&path, {}, i}, message, field);
    CheckUnique(node, path, field);
  }

  // An item with an error stays as an empty one, so that the items after it keep their indexes.
  void ReadItem(const YamlNode& item, const Path& path, Message& message, const FieldDescriptor& field) {
    const auto& reflection = *message.GetReflection();
    if (item.kind == Kind::kNull) report_.Error(path.Text(), "has no value");
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
  void CheckUnique(const YamlNode& list, const Path& path, const FieldDescriptor& field) {
    if (list.items().size() < 2) return;
    if (OptionsOf(field).unique()) {
      FirstItems first;
      for (std::size_t i = 0; i < list.items().size(); ++i) {
        ReportIfTaken(list.items()[i], i, path, "", first);
      }
    }
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return;
    for (const FieldDescriptor* key : FieldsOf(*field.message_type())) {
      if (!OptionsOf(*key).unique() || key->is_repeated()) continue;
      FirstItems first;
      for (std::size_t i = 0; i < list.items().size(); ++i) {
        const YamlNode& item = list.items()[i];
        for (std::size_t j = 0; j < item.keys().size(); ++j) {
          if (item.keys()[j].text() != key->name()) continue;
          ReportIfTaken(item.items()[j], i, path, key->name(), first);
          break;
        }
      }
    }
  }

  // By a text, the first item of a list that has it.
  using FirstItems = std::unordered_map<std::string_view, std::size_t>;

  // `key`: of the item, whose value this is; empty if it is the item itself.
  void ReportIfTaken(const YamlNode& value, std::size_t index, const Path& list, std::string_view key,
                     FirstItems& first) {
    if (value.kind != Kind::kScalar) return;
    const auto [taken, is_first] = first.insert({value.text(), index});
    if (is_first) return;
    const auto text = [&](std::size_t of) {
      const Path item{&list, {}, of};
      return key.empty() ? item.Text() : Path{&item, key}.Text();
    };
    report_.Error(text(index), Concat({"is the same as ", text(taken->second)}));
  }

  void ReadAbsent(const Path& path, Message& message, const FieldDescriptor& field) {
    const v1::KeyOptions& options = OptionsOf(field);
    if (options.required()) return report_.Error(Path{&path, field.name()}.Text(), "is required");
    if (options.default_value().empty()) return;
    // A report of its own: positions in a default are not positions in the file, and an error in a default is
    // an error of the schema.
    Report own("default");
    Reader(files_, defaults_, own)
        .ReadValue(defaults_.Of(field, own), {&kRoot, field.name()}, message, field);
    assert(own.Errors().empty());
  }

  void CheckOneof(const OneofDescriptor& oneof, const Path& path, const Given& given) {
    std::vector<std::string> choices;
    const FieldDescriptor* chosen = nullptr;
    for (int i = 0; i < oneof.field_count(); ++i) {
      const FieldDescriptor* field = oneof.field(i);
      choices.push_back(field->name());
      const std::optional<Position>& position = given[IndexOf(*field)];
      if (!position) continue;
      if (chosen != nullptr) {
        report_.ErrorAt(*position, Concat({Path{&path, field->name()}.Text(), ": cannot stand beside ",
                                           chosen->name(), ": give one of them"}));
      }
      chosen = field;
    }
    if (chosen != nullptr) return;
    report_.Error(path.Text(), Concat({"needs exactly one of ", Enumerate(choices)}));
  }

  void ReadScalar(const YamlNode& node, const Path& path, Message& message, const FieldDescriptor& field) {
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
        if (node.quoted || (node.text() != "true" && node.text() != "false")) {
          return report_.Error(path.Text(), "must be true or false, without quotes");
        }
        return message.GetReflection()->SetBool(&message, &field, node.text() == "true");
      default:
        return ReadQuantity(node, path, message, field);
    }
  }

  void ReadText(const YamlNode& node, const Path& path, Message& message, const FieldDescriptor& field) {
    const v1::KeyOptions& options = OptionsOf(field);
    if (const auto fault = WhatIsWrong(options.form(), node.text()))
      return report_.Error(path.Text(), *fault);
    if (IsFile(options.form()) && files_ == NamedFiles::kJudged) {
      CheckFile(options, std::string(node.text()), path.Text(), report_);
    }
    const auto& reflection = *message.GetReflection();
    if (field.is_repeated()) return reflection.AddString(&message, &field, std::string(node.text()));
    reflection.SetString(&message, &field, std::string(node.text()));
  }

  void ReadWord(const YamlNode& node, const Path& path, Message& message, const FieldDescriptor& field) {
    std::vector<std::string> words;
    for (const EnumValueDescriptor* value : ValuesOf(*field.enum_type())) {
      words.push_back(WordOf(*value));
      if (words.back() == node.text()) return message.GetReflection()->SetEnum(&message, &field, value);
    }
    report_.Error(path.Text(), Concat({"must be one of ", Enumerate(words),
                                       Suggest(Nearest(std::string(node.text()), words))}));
  }

  void ReadQuantity(const YamlNode& node, const Path& path, Message& message, const FieldDescriptor& field) {
    const v1::KeyOptions& options = OptionsOf(field);
    const v1::Form form = options.form();
    const auto value = ParseQuantity(form, node.text());
    if (!value || (form == v1::FORM_UNSPECIFIED && node.quoted))
      return report_.Error(path.Text(), ExpectedQuantity(form));
    const auto least = ParseQuantity(form, options.min());
    const auto most = ParseQuantity(form, options.max());
    if ((least && *value < *least) || (most && *value > *most)) {
      return report_.Error(path.Text(), Concat({"must be from ", options.min(), " to ", options.max()}));
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

  static constexpr Path kRoot{};

  const NamedFiles files_;
  Defaults& defaults_;
  Report& report_;
};

}  // namespace

void Read(const YamlNode& document, NamedFiles files, Report& report, v1::Config& schema) {
  Defaults defaults;
  Reader(files, defaults, report).ReadMapping(document, {}, schema);
}

}  // namespace tokend::config
