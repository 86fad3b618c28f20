#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "daemon/base/sha256.h"
#include "daemon/config/schema.h"
#include "daemon/config/steps.h"
#include "daemon/config/values.h"

namespace tokend::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::size_t kIndent = 2;

// No text holds a character that needs another escape (CheckText in values.cc).
void AppendQuoted(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void AppendScalar(const Message& message, const FieldDescriptor& field, std::string& out) {
  const auto& reflection = *message.GetReflection();
  const v1::Form form = OptionsOf(field).form();
  std::string unused;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      out += reflection.GetBool(message, &field) ? "true" : "false";
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      out += WordOf(*reflection.GetEnum(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      out += FormatQuantity(form, reflection.GetUInt32(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      out += FormatQuantity(form, reflection.GetUInt64(message, &field));
      return;
    case FieldDescriptor::CPPTYPE_INT64:
      out += FormatQuantity(form, static_cast<std::uint64_t>(reflection.GetInt64(message, &field)));
      return;
    default:
      return AppendQuoted(reflection.GetStringReference(message, &field, &unused), out);
  }
}

void AppendTexts(const Message& message, const FieldDescriptor& field, std::string& out) {
  const auto& reflection = *message.GetReflection();
  std::string unused;
  out += '[';
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    if (i > 0) out += ", ";
    AppendQuoted(reflection.GetRepeatedStringReference(message, &field, i, &unused), out);
  }
  out += ']';
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
      out += ' ';
      if (field->is_repeated()) {
        AppendTexts(message, *field, out);
      } else {
        AppendScalar(message, *field, out);
      }
      out += '\n';
    }
  }
}

}  // namespace

std::string Effective(const v1::Config& schema) {
  std::string text;
  text.reserve(schema.ByteSizeLong() * 3);  // about what names of keys and indents make of it
  PrintMapping(schema, 0, text);
  return text;
}

std::string Fingerprint(std::string_view text) { return Sha256Hex(text).substr(0, 16); }

}  // namespace tokend::config
