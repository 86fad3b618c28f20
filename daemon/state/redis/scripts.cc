#include "daemon/state/redis/scripts.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "daemon/base/form.h"
#include "daemon/state/fair_queue.h"
#include "daemon/state/rate_limiter.h"
#include "daemon/state/redis/session.h"

namespace tokend::state {

// The files in scripts/, which embed_scripts.cmake puts into the program.
namespace lua {
extern const std::string_view hello, beat, admit, spend, check, turns, remove, give_back, levels, put;
}

namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// How long living replicas have to notice that Redis has lost writes, and to write them again.
constexpr std::chrono::seconds kRewriteTime{2};
// How long Redis keeps what it knows of a replica that is gone, and news for a call that does not fetch it.
constexpr std::chrono::hours kReplicaLife{1};
constexpr std::chrono::minutes kNewsLife{1};
// How long Redis keeps a setting for comparison after the last replica that has it so.
constexpr std::chrono::milliseconds kSettingLife = 2 * RedisSession::kLease;
// The end of the times that Redis may tell: in the year 2112. Sums of them do not overflow.
constexpr microseconds kLastTime{std::int64_t{1} << 52U};

// 71 years: sums of such times stay exact in Lua.
constexpr microseconds kLongestTolerance{std::int64_t{1} << 51U};
// How long a call without a deadline waits for its turn at most.
constexpr std::chrono::hours kLongestPatience{24};

// The constants of this program that the scripts use, as the first lines of each.
std::string Constants() {
  std::string text;
  const auto add = [&text](std::string_view name, std::int64_t value) {
    text.append("local ").append(name).append(" = ").append(std::to_string(value)).append("\n");
  };
  text.append("local PREFIX = '").append(kRedisPrefix).append("'\n");
  add("LEASE", microseconds(RedisSession::kLease).count());
  add("RENEW_LEASE_BELOW", microseconds(RedisSession::kLease - RedisSession::kBeat).count());
  add("REWRITE_TIME", microseconds(kRewriteTime).count());
  add("REPLICA_LIFE_MS", milliseconds(kReplicaLife).count());
  add("NEWS_LIFE_MS", milliseconds(kNewsLife).count());
  add("SETTING_LIFE_MS", kSettingLife.count());
  add("MAX_WAITING", kMaxWaitingForTurn);
  add("MAX_CALLERS", kMaxQueuedCallers);
  return text;
}

RedisScript Make(std::string_view text, RedisScript::Kind kind = RedisScript::Kind::kPlain) {
  return RedisScript(Constants().append(text), kind);
}

template <class Bytes>
std::string_view CharsOf(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Sha1Hex(std::string_view bytes) {
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return Hex(CharsOf(digest));
}

}  // namespace

RedisScript::RedisScript(std::string its_lua, Kind its_kind)
    : lua(std::move(its_lua)),
      text("local nonce = table.remove(ARGV)\nlocal function answer()\n" + lua +
           "\nend\nreturn {nonce, (answer())}\n"),
      digest(Sha1Hex(text)),
      kind(its_kind) {}

const RedisScripts& RedisScripts::Get() {
  static const RedisScripts scripts{.hello = Make(lua::hello, RedisScript::Kind::kGreeting),
                                    .beat = Make(lua::beat),
                                    .admit = Make(lua::admit, RedisScript::Kind::kWritesLedger),
                                    .spend = Make(lua::spend),
                                    .check = Make(lua::check),
                                    .turns = Make(lua::turns),
                                    .remove = Make(lua::remove),
                                    .give_back = Make(lua::give_back),
                                    .levels = Make(lua::levels),
                                    .put = Make(lua::put, RedisScript::Kind::kWritesLedger)};
  return scripts;
}

std::string ToArgument(microseconds duration) { return std::to_string(duration.count()); }
std::string ToArgument(RedisTime time) { return ToArgument(time.time_since_epoch()); }

std::string_view BytesOf(const RequestDigest& digest) { return CharsOf(digest); }

std::string ToArgument(const Target& target) {
  std::vector<std::string> words = {target.organization, target.application};
  words.insert(words.end(), target.scopes.begin(), target.scopes.end());
  return absl::StrJoin(words, " ");
}

Target ParseTarget(const std::string& text) {
  std::vector<std::string> words = absl::StrSplit(text, ' ');
  if (words.size() < 2) return {};
  return {std::move(words[0]),
          std::move(words[1]),
          {std::make_move_iterator(words.begin() + 2), std::make_move_iterator(words.end())}};
}

std::string OrganizationOf(const Charges& charges) {
  return charges.organization_name.empty() ? "-" : charges.organization_name;
}

void AppendCharges(const std::vector<Charge>& charges, Arguments& arguments) {
  arguments.push_back(std::to_string(charges.size()));
  for (const Charge& charge : charges) {
    const auto interval = std::chrono::ceil<microseconds>(charge.rate.interval());
    const auto tolerance = Product(interval, charge.rate.burst() - 1, kLongestTolerance);
    arguments.insert(arguments.end(),
                     {Hex(CharsOf(charge.key)), ToArgument(interval), ToArgument(tolerance)});
  }
}

void AppendCharges(const Charges& charges, Arguments& arguments) {
  AppendCharges(charges.own, arguments);
  AppendCharges(charges.organization, arguments);
}

void AppendCall(std::uint64_t waiter, const Charges& charges, std::chrono::nanoseconds patience,
                Arguments& arguments) {
  patience = std::min<std::chrono::nanoseconds>(patience, kLongestPatience);
  arguments.insert(
      arguments.end(),
      {std::to_string(waiter), OrganizationOf(charges), Hex(CharsOf(KeyOf({charges.grant}))),
       Hex(CharsOf(KeyOf({charges.caller}))), ToArgument(duration_cast<microseconds>(patience))});
  AppendCharges(charges, arguments);
}

Result<RedisAnswer> RedisAnswer::From(RedisReply reply) {
  auto* elements = std::get_if<std::vector<RedisReply>>(&reply.value);
  if (elements == nullptr || elements->size() < kHeader) return NotUnderstood();
  if (!std::holds_alternative<std::string>(elements->front().value)) return NotUnderstood();
  RedisAnswer answer(std::move(*elements));
  if (answer.Integer(1) < 0 || answer.Integer(1) > kLastTime.count()) return NotUnderstood();
  return answer;
}

RedisTime RedisAnswer::Time(std::size_t at) const {
  return RedisTime(std::clamp(microseconds(Number(at)), microseconds(0), kLastTime));
}

std::int64_t RedisAnswer::Integer(std::size_t at) const {
  if (const auto* number = Find<std::int64_t>(at)) return *number;
  std::int64_t number = 0;
  const auto* text = Find<std::string>(at);
  return text != nullptr && absl::SimpleAtoi(*text, &number) ? number : 0;
}

std::string RedisAnswer::Text(std::size_t at) const {
  const auto* text = Find<std::string>(kHeader + at);
  return text == nullptr ? "" : *text;
}

std::vector<std::string> RedisAnswer::Texts(std::size_t at) const {
  std::vector<std::string> texts;
  const auto* list = Find<std::vector<RedisReply>>(kHeader + at);
  if (list == nullptr) return texts;
  for (const RedisReply& element : *list) {
    if (const auto* text = std::get_if<std::string>(&element.value)) texts.push_back(*text);
  }
  return texts;
}

Status NotUnderstood() { return absl::UnknownError("Redis gave an answer that no script of tokend gives"); }

}  // namespace tokend::state
