#include "tests/fakes/hostile_redis.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/state/redis/connection.h"
#include "daemon/state/redis/redis_state.h"
#include "daemon/state/redis/replies.h"
#include "daemon/state/redis/scripts.h"
#include "tests/fakes/counted_memory.h"
#include "tests/fakes/turned_loop.h"

// A Redis that is broken, or in somebody else's hands.
namespace tokend::state {
namespace {

using fakes::HostileRedis;
using std::chrono::minutes;
using std::chrono::seconds;

const RedisScript kHail("return 'hail'", RedisScript::Kind::kGreeting);
const RedisScript kAsked("return 'asked'");

std::string Repeated(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(RedisReplies, AreReadByteByByteAsWellAsAtOnce) {
  const std::string bytes = "*3\r\n:-7\r\n$4\r\na\r\nb\r\n*2\r\n$-1\r\n+OK\r\n-OOM no\r\n*0\r\n";
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, bytes.size()}) {
    RedisReplies replies;
    std::vector<RedisReplies::Answer> answers;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      ASSERT_TRUE(replies.Take(std::string_view(bytes).substr(at, step), answers));
    }
    EXPECT_FALSE(replies.has_part());
    ASSERT_EQ(answers.size(), 3U);
    ASSERT_TRUE(answers[0].ok());
    const auto& list = std::get<std::vector<RedisReply>>(answers[0]->value);
    ASSERT_EQ(list.size(), 3U);
    EXPECT_EQ(std::get<std::int64_t>(list[0].value), -7);
    EXPECT_EQ(std::get<std::string>(list[1].value), "a\r\nb");
    const auto& inner = std::get<std::vector<RedisReply>>(list[2].value);
    ASSERT_EQ(inner.size(), 2U);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(inner[0].value));
    EXPECT_EQ(std::get<std::string>(inner[1].value), "OK");
    EXPECT_EQ(answers[1].status().message(), "Redis is out of memory (maxmemory)");
    EXPECT_TRUE(std::get<std::vector<RedisReply>>(answers[2]->value).empty());
  }
}

TEST(RedisReplies, AreBoundedBeforeMemoryIsAllocated) {
  const std::vector<std::string> hostile = {
      "*1000000000\r\n",
      Repeated("*1000000000\r\n", 9),
      Repeated("*1\r\n", 9),
      "*65537\r\n",
      "*40000\r\n*40000\r\n",
      "*9223372036854775807\r\n",
      "*-2\r\n",
      "$1048577\r\n",
      "$9223372036854775807\r\n",
      "$-2\r\n",
      "+" + std::string(RedisReplies::kMaxBytes, 'x'),
      ":1x\r\n",
      "*1 \r\n",
      "$2\r\nabcd",
      "HTTP/1.1 400 Bad Request\r\n",
      "*3\r\n" + Repeated("$500000\r\n" + std::string(500000, 'x') + "\r\n", 3),
  };
  for (const std::string& bytes : hostile) {
    RedisReplies replies;
    std::vector<RedisReplies::Answer> answers;
    const std::int64_t before = fakes::CountedBytes();
    fakes::ForgetMostCountedBytes();
    EXPECT_FALSE(replies.Take(bytes, answers)) << bytes.substr(0, 40);
    EXPECT_LT(fakes::MostCountedBytes() - before, 8 << 20) << bytes.substr(0, 40);
    EXPECT_TRUE(answers.empty());
  }
}

TEST(RedisReplies, ThatNeverEndAreGivenUpBeforeTheyTakeMuchMemory) {
  const std::string endless = "*8192\r\n" + Repeated(":0\r\n", 8192);
  RedisReplies replies;
  std::vector<RedisReplies::Answer> answers;
  const std::int64_t before = fakes::CountedBytes();
  fakes::ForgetMostCountedBytes();
  std::size_t taken = 0;
  while (replies.Take(endless, answers) && taken <= RedisReplies::kMaxBytesTogether) taken += endless.size();
  EXPECT_LE(taken, RedisReplies::kMaxBytesTogether);
  EXPECT_LT(fakes::MostCountedBytes() - before, 64 << 20);
}

class HostileRedisTest : public testing::Test {
 protected:
  using Seen = std::optional<Result<RedisReply>>;

  void Connect(HostileRedis::Answer answer) {
    redis_ = std::make_unique<HostileRedis>(std::move(answer));
    connection_ = std::make_unique<RedisConnection>(
        loop_, RedisConnection::Options{.address = config::UnixAddress{redis_->socket()},
                                        .reply_timeout = seconds(10)});
  }
  Seen& Run(const RedisScript& script) {
    Seen& seen = *seen_.emplace_back(std::make_unique<Seen>());
    connection_->Run(script, {"key"}, {}, [&seen](Result<RedisReply> reply) { seen = std::move(reply); });
    return seen;
  }
  Result<RedisReply> Await(const Seen& seen) {
    EXPECT_TRUE(loop_.RunUntil([&seen] { return seen.has_value(); }));
    return seen.value_or(absl::InternalError("never"));
  }
  // Greets until there is a connection.
  bool Greet() {
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (std::chrono::steady_clock::now() < end) {
      if (Await(Run(kHail)).ok()) return true;
      loop_.RunFor(std::chrono::milliseconds(5));
    }
    return false;
  }
  static std::string WordIn(const Result<RedisReply>& reply) {
    if (!reply.ok()) return std::string(reply.status().message());
    const auto* text = std::get_if<std::string>(&reply->value);
    return text == nullptr ? "no text" : *text;
  }
  static bool IsAsked(const HostileRedis::Command& command) {
    return command[1] == kAsked.text || command[1] == kAsked.digest;
  }

  fakes::TurnedLoop loop_;
  std::vector<std::unique_ptr<Seen>> seen_;
  std::unique_ptr<HostileRedis> redis_;
  std::unique_ptr<RedisConnection> connection_;
};

TEST_F(HostileRedisTest, EveryCallIsAnsweredWhateverRedisSends) {
  for (const std::string& hostile :
       {std::string("*1000000000\r\n"), Repeated("*1000000000\r\n", 9),
        "*60000\r\n" + Repeated(":0\r\n", 5'000'000), std::string("$-5\r\n"), std::string("\0\0\0", 3)}) {
    Connect([&hostile](const HostileRedis::Command& command) {
      return IsAsked(command) ? hostile : HostileRedis::AnswerTo(command, HostileRedis::Text("hail"));
    });
    ASSERT_TRUE(Greet());
    const Result<RedisReply> reply = Await(Run(kAsked));
    EXPECT_TRUE(MayHaveRun(reply.status())) << reply.status();
    ASSERT_TRUE(Greet()) << "on another connection";
    EXPECT_GE(redis_->connections(), 2);
    connection_.reset();
  }
}

TEST_F(HostileRedisTest, AnAnswerTooManyIsNeverTheAnswerToTheNextCall) {
  std::atomic<bool> once = true;
  Connect([&once](const HostileRedis::Command& command) {
    const std::string right =
        HostileRedis::AnswerTo(command, HostileRedis::Text(IsAsked(command) ? "asked" : "hail"));
    return IsAsked(command) && once.exchange(false) ? right + right : right;
  });
  ASSERT_TRUE(Greet());
  EXPECT_EQ(WordIn(Await(Run(kAsked))), "asked") << "it is known by its nonce";
  // On the connection with the answer too many nothing is read any more.
  ASSERT_TRUE(Greet());
  EXPECT_EQ(WordIn(Await(Run(kAsked))), "asked");
  EXPECT_EQ(redis_->connections(), 2);
}

TEST_F(HostileRedisTest, AnAnswerWithoutItsCallsNonceBreaksTheConnection) {
  std::string last;
  Connect([&last](const HostileRedis::Command& command) {
    const std::string right =
        HostileRedis::AnswerTo(command, HostileRedis::Text(IsAsked(command) ? "asked" : "hail"));
    if (!IsAsked(command)) return right;
    const std::string of_the_call_before = std::exchange(last, right);
    return of_the_call_before.empty() ? right : of_the_call_before;
  });
  ASSERT_TRUE(Greet());
  ASSERT_EQ(WordIn(Await(Run(kAsked))), "asked");
  const Result<RedisReply> reply = Await(Run(kAsked));
  EXPECT_EQ(WordIn(reply), "Redis answered another call");
  EXPECT_TRUE(MayHaveRun(reply.status()));
  ASSERT_TRUE(Greet());
  EXPECT_EQ(redis_->connections(), 2);
}

TEST_F(HostileRedisTest, AnErrorTooManyDoesNotSayThatACallDidNotRun) {
  std::atomic<bool> once = true;
  Connect([&once](const HostileRedis::Command& command) {
    const std::string right = HostileRedis::AnswerTo(command, HostileRedis::Text("right"));
    return IsAsked(command) && once.exchange(false) ? "-OOM out of memory\r\n" + right : right;
  });
  ASSERT_TRUE(Greet());
  EXPECT_TRUE(MayHaveRun(Await(Run(kAsked)).status()));
  ASSERT_TRUE(Greet());
  EXPECT_EQ(redis_->connections(), 2);
}

TEST_F(HostileRedisTest, CallersHearThatLimitsAreUnavailable) {
  const RedisScripts& scripts = RedisScripts::Get();
  Connect([&scripts](const HostileRedis::Command& command) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::string time =
        HostileRedis::Number(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
    if (command[1] == scripts.admit.text || command[1] == scripts.admit.digest)
      return Repeated("*1000000000\r\n", 9);
    const bool is_hello = command[1] == scripts.hello.text || command[1] == scripts.hello.digest;
    const std::string zero = HostileRedis::Number(0);
    return HostileRedis::AnswerTo(
        command, HostileRedis::List({HostileRedis::Text(is_hello ? "epoch" : "ok"), time, zero,
                                     is_hello ? HostileRedis::Text("first") : zero, zero, zero}));
  });
  RedisState state(loop_, *connection_,
                   {{.remember = minutes(10), .max_entries = 10},
                    config::OnRedisFailure::kDeny,
                    Secret(std::string(32, 'k'))});
  ASSERT_TRUE(loop_.RunUntil([&state] { return state.reach().ok(); }));
  std::optional<AdmitResult> result;
  state.Admit({.request_id = "x", .latest = loop_.clock().Now() + minutes(1)}, &result,
              [&result](AdmitResult admitted) { result = std::move(admitted); });
  ASSERT_TRUE(loop_.RunUntil([&result] { return result.has_value(); }));
  EXPECT_EQ(std::get<Failure>(*result).reason, Reason::kLimitsUnavailable);
}

}  // namespace
}  // namespace tokend::state
