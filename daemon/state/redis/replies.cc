#include "daemon/state/redis/replies.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

namespace tokend::state {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

// The errors of Redis, by how they begin. Redis's own words may quote an argument, so these replace them.
struct Refusal {
  std::string_view begin;
  absl::StatusCode kind;
  std::string_view words;
};
constexpr std::string_view kNotPermitted = "Redis does not permit its user a command that it needs";
constexpr std::array kRefusals{
    Refusal{"NOSCRIPT", absl::StatusCode::kNotFound, "Redis does not know the script"},
    Refusal{"OOM", absl::StatusCode::kUnavailable, "Redis is out of memory (maxmemory)"},
    Refusal{"LOADING", absl::StatusCode::kUnavailable, "Redis is loading its data"},
    Refusal{"MISCONF", absl::StatusCode::kUnavailable, "Redis cannot save its data (MISCONF)"},
    Refusal{"NOREPLICAS", absl::StatusCode::kUnavailable, "Redis has too few replicas to be written to"},
    Refusal{"BUSY", absl::StatusCode::kUnavailable, "Redis is busy with a script"},
    Refusal{"TRYAGAIN", absl::StatusCode::kUnavailable, "this node of the cluster hands over the keys"},
    Refusal{"CLUSTERDOWN", absl::StatusCode::kUnavailable, "the cluster of Redis is down"},
    Refusal{"READONLY", absl::StatusCode::kFailedPrecondition, "this Redis is a replica, only to be read"},
    Refusal{"MASTERDOWN", absl::StatusCode::kFailedPrecondition, "this Redis has lost its master"},
    Refusal{"MOVED", absl::StatusCode::kFailedPrecondition, "this node of the cluster has not the keys"},
    Refusal{"ASK", absl::StatusCode::kFailedPrecondition, "this node of the cluster hands over the keys"},
    Refusal{"NOAUTH", absl::StatusCode::kFailedPrecondition, "Redis asks for a password"},
    Refusal{"WRONGPASS", absl::StatusCode::kFailedPrecondition, "Redis refuses the user or the password"},
    Refusal{"NOPERM", absl::StatusCode::kUnknown, kNotPermitted},
    Refusal{"ERR ACL failure", absl::StatusCode::kUnknown, kNotPermitted},
    Refusal{"ERR The user executing the script can't", absl::StatusCode::kUnknown, kNotPermitted},
};

Status ErrorOf(std::string_view error) {
  const auto found = std::find_if(kRefusals.begin(), kRefusals.end(), [error](const Refusal& refusal) {
    return error.starts_with(refusal.begin);
  });
  if (found == kRefusals.end()) return absl::UnknownError("Redis reports an error in a script");
  return {found->kind, {found->words.data(), found->words.size()}};
}

std::optional<std::int64_t> NumberIn(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

bool RedisReplies::Take(std::string_view bytes, std::vector<Answer>& answers) {
  if (bytes.size() > kMaxBytesTogether - bytes_together_) return false;
  bytes_together_ += bytes.size();
  buffer_.append(bytes);
  while (at_ < buffer_.size()) {
    Item item;
    const std::size_t begin = at_;
    const Read read = ReadItem(item);
    if (read == Read::kBroken) return false;
    if (read == Read::kMore) break;
    bytes_ += at_ - begin;
    if (!item.opens) Place(std::move(item), answers);
  }
  buffer_.erase(0, at_);
  at_ = 0;
  return true;
}

// Reads the next item, which ends within the bytes that its answer may yet have.
RedisReplies::Read RedisReplies::ReadItem(Item& item) {
  const std::size_t room = kMaxBytes - bytes_;
  const std::string_view rest = std::string_view(buffer_).substr(at_, room);
  if (rest.empty()) return Read::kBroken;
  constexpr std::string_view kKinds = "+-:$*";
  const char kind = rest.front();
  if (kKinds.find(kind) == std::string_view::npos) return Read::kBroken;
  const std::size_t end = rest.find(kLineEnd);
  if (end == std::string_view::npos) return rest.size() == room ? Read::kBroken : Read::kMore;
  const std::string_view line = rest.substr(1, end - 1);
  const std::size_t next = end + kLineEnd.size();
  if (kind == '+' || kind == '-') {
    if (kind == '+') item.reply.value = std::string(line);
    if (kind == '-') item.error = line.empty() ? "ERR" : std::string(line);
    at_ += next;
    return Read::kItem;
  }
  const std::optional<std::int64_t> number = NumberIn(line);
  if (!number) return Read::kBroken;
  if (kind == '$') return ReadText(*number, next, item);
  if (kind == '*' && !OpenList(*number, item)) return Read::kBroken;
  if (kind == ':') item.reply.value = *number;
  at_ += next;
  return Read::kItem;
}

// Reads a text of this size that begins so far behind `at_`. Size -1 stands for no text.
RedisReplies::Read RedisReplies::ReadText(std::int64_t size, std::size_t begin, Item& item) {
  if (size < -1) return Read::kBroken;
  if (size == -1) {
    at_ += begin;
    return Read::kItem;
  }
  const std::size_t room = kMaxBytes - bytes_;
  if (static_cast<std::uint64_t>(size) > room ||
      begin + kLineEnd.size() > room - static_cast<std::size_t>(size)) {
    return Read::kBroken;
  }
  const std::size_t end = begin + static_cast<std::size_t>(size);
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  if (rest.size() < end + kLineEnd.size()) return Read::kMore;
  if (rest.substr(end, kLineEnd.size()) != kLineEnd) return Read::kBroken;
  item.reply.value = std::string(rest.substr(begin, end - begin));
  at_ += end + kLineEnd.size();
  return Read::kItem;
}

// Size -1 stands for no list.
bool RedisReplies::OpenList(std::int64_t size, Item& item) {
  if (size == -1) return true;
  if (size < 0 || static_cast<std::uint64_t>(size) > kMaxElements - elements_) return false;
  const auto count = static_cast<std::size_t>(size);
  if (count > kMaxElementsTogether - elements_together_ || open_.size() >= kMaxDepth) return false;
  elements_ += count;
  elements_together_ += count;
  if (count == 0) {
    item.reply.value = std::vector<RedisReply>();
    return true;
  }
  open_.push_back({{}, count});
  open_.back().elements.reserve(count);
  item.opens = true;
  return true;
}

void RedisReplies::Place(Item item, std::vector<Answer>& answers) {
  while (!open_.empty()) {
    List& list = open_.back();
    list.elements.push_back(std::move(item.reply));  // an error within a list reads as nothing
    if (--list.missing > 0) return;
    item = Item{.reply = {std::move(list.elements)}};
    open_.pop_back();
  }
  bytes_ = 0;
  elements_ = 0;
  if (item.error.empty()) {
    answers.push_back(std::move(item.reply));
  } else {
    answers.push_back(ErrorOf(item.error));
  }
}

}  // namespace tokend::state
