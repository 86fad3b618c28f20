#pragma once

#include <simdjson.h>

#include <memory>
#include <optional>
#include <string_view>

namespace tokend::identity {

// A JSON object from outside that every reader understands alike: valid UTF-8, no repeated key in any of its
// objects, no number that a double cannot hold, and not nested deeper than kMaxNesting. Owned by one thread.
class StrictJson {
 public:
  static constexpr std::size_t kMaxNesting = 32;

  static std::optional<StrictJson> Parse(std::string_view text);

  // Valid as long as this lives.
  const simdjson::dom::object& object() const { return object_; }

 private:
  explicit StrictJson(std::unique_ptr<simdjson::dom::parser> parser) : parser_(std::move(parser)) {}

  std::unique_ptr<simdjson::dom::parser> parser_;  // holds what object_ refers to
  simdjson::dom::object object_;
};

// The text under the key; nothing if the key is absent or its value is not a text.
std::optional<std::string_view> TextOf(const simdjson::dom::object& object, std::string_view key);
bool HasKey(const simdjson::dom::object& object, std::string_view key);

}  // namespace tokend::identity
