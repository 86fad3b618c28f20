#include "daemon/identity/strict_json.h"

#include <algorithm>
#include <vector>

namespace tokend::identity {
namespace {

namespace dom = simdjson::dom;

// NOLINTNEXTLINE(misc-no-recursion): no deeper than kMaxNesting
bool RepeatsAKey(const dom::element& element) {
  dom::array array;
  if (element.get(array) == simdjson::SUCCESS) {
    return std::any_of(array.begin(), array.end(), RepeatsAKey);
  }
  dom::object object;
  if (element.get(object) != simdjson::SUCCESS) return false;
  std::vector<std::string_view> keys;
  for (const dom::key_value_pair field : object) {
    if (RepeatsAKey(field.value)) return true;
    keys.push_back(field.key);
  }
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
}

}  // namespace

std::optional<StrictJson> StrictJson::Parse(std::string_view text) {
  StrictJson json(std::make_unique<dom::parser>());
  dom::element root;
  // An empty view may point to null, which simdjson must not read from.
  if (text.empty()) return std::nullopt;
  if (json.parser_->allocate(text.size(), kMaxNesting) != simdjson::SUCCESS ||
      json.parser_->parse(text.data(), text.size()).get(root) != simdjson::SUCCESS ||
      root.get(json.object_) != simdjson::SUCCESS || RepeatsAKey(root)) {
    return std::nullopt;
  }
  return json;
}

bool HasKey(const dom::object& object, std::string_view key) {
  return object.at_key(key).error() == simdjson::SUCCESS;
}

std::optional<std::string_view> TextOf(const dom::object& object, std::string_view key) {
  std::string_view text;
  if (object.at_key(key).get(text) != simdjson::SUCCESS) return std::nullopt;
  return text;
}

}  // namespace tokend::identity
