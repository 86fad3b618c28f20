#include "daemon/state/redis/answer.h"

#include <absl/strings/numbers.h>

#include <variant>

namespace tokend::state {

Result<RedisAnswer> RedisAnswer::From(RedisReply reply) {
  auto* elements = std::get_if<std::vector<RedisReply>>(&reply.value);
  if (elements == nullptr || elements->size() < kHeader) return NotUnderstood();
  const auto* word = std::get_if<std::string>(&elements->front().value);
  if (word == nullptr) return NotUnderstood();
  return RedisAnswer(*word, std::move(*elements));
}

std::int64_t RedisAnswer::Integer(std::size_t at) const {
  if (at >= elements_.size()) return 0;
  if (const auto* number = std::get_if<std::int64_t>(&elements_[at].value)) return *number;
  std::int64_t number = 0;
  const auto* text = std::get_if<std::string>(&elements_[at].value);
  return text != nullptr && absl::SimpleAtoi(*text, &number) ? number : 0;
}

std::string RedisAnswer::Text(std::size_t at) const {
  const auto* text =
      kHeader + at < elements_.size() ? std::get_if<std::string>(&elements_[kHeader + at].value) : nullptr;
  return text == nullptr ? "" : *text;
}

std::vector<std::string> RedisAnswer::Texts(std::size_t at) const {
  std::vector<std::string> texts;
  const auto* list = kHeader + at < elements_.size()
                         ? std::get_if<std::vector<RedisReply>>(&elements_[kHeader + at].value)
                         : nullptr;
  if (list == nullptr) return texts;
  for (const RedisReply& element : *list) {
    if (const auto* text = std::get_if<std::string>(&element.value)) texts.push_back(*text);
  }
  return texts;
}

Status NotUnderstood() { return absl::UnknownError("Redis gave an answer that no script of tokend gives"); }

}  // namespace tokend::state
