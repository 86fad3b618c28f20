#include <google/protobuf/message.h>

#include <vector>

#include "daemon/base/sha256.h"
#include "daemon/base/text.h"
#include "daemon/config/schema.h"
#include "daemon/config/steps.h"
#include "daemon/config/values.h"

namespace tokend::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::size_t kIndent = 2;

// No text holds a control character, so only these two need escaping.
std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string ScalarText(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  const v1::Form form = OptionsOf(field).form();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return WordOf(*reflection.GetEnum(message, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return FormatQuantity(form, reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return FormatQuantity(form, reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return FormatQuantity(form, static_cast<std::uint64_t>(reflection.GetInt64(message, &field)));
    default:
      return Quote(reflection.GetString(message, &field));
  }
}

std::string TextList(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  std::vector<std::string> quoted;
  quoted.reserve(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) {
    quoted.push_back(Quote(reflection.GetRepeatedString(message, &field, i)));
  }
  return Concat({"[", Enumerate(quoted), "]"});
}

bool IsPrinted(const Message& message, const FieldDescriptor& field) {
  if (!field.is_repeated()) return message.GetReflection()->HasField(message, &field);
  return OptionsOf(field).required() || message.GetReflection()->FieldSize(message, &field) != 0;
}

void PrintMapping(const Message& message, std::size_t indent, std::string& out);

// " {}", or the mapping on the lines below.
void PrintNested(const Message& message, std::size_t indent, std::string& out) {
  out += '\n';
  const std::size_t begin = out.size();
  PrintMapping(message, indent, out);
  if (out.size() == begin) out.replace(begin - 1, 1, " {}\n");
}

// "- " takes the place of the end of the first key's indent.
void PrintItems(const Message& message, const FieldDescriptor& field, std::size_t indent, std::string& out) {
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    const std::size_t begin = out.size();
    PrintMapping(message.GetReflection()->GetRepeatedMessage(message, &field, i), indent + kIndent, out);
    out.replace(begin + indent, kIndent, "- ");
  }
}

void PrintMapping(const Message& message, std::size_t indent, std::string& out) {
  for (const FieldDescriptor* field : FieldsOf(*message.GetDescriptor())) {
    if (!IsPrinted(message, *field)) continue;
    out.append(indent, ' ').append(field->name()).append(":");
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (is_message && field->is_repeated() && message.GetReflection()->FieldSize(message, field) != 0) {
      out += '\n';
      PrintItems(message, *field, indent + kIndent, out);
    } else if (is_message && !field->is_repeated()) {
      PrintNested(message.GetReflection()->GetMessage(message, field), indent + kIndent, out);
    } else if (is_message) {
      out += " []\n";
    } else {
      out += " " + (field->is_repeated() ? TextList(message, *field) : ScalarText(message, *field)) + "\n";
    }
  }
}

}  // namespace

std::string Effective(const v1::Config& schema) {
  std::string text;
  PrintMapping(schema, 0, text);
  return text;
}

std::string Fingerprint(std::string_view text) { return Sha256Hex(text).substr(0, 16); }

}  // namespace tokend::config
