#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/state/redis/connection.h"
#include "tests/fakes/hand_cranked_loop.h"
#include "tests/fakes/redis_server.h"
#include "tests/fakes/temporary_folder.h"

namespace tokend::state {
namespace {

using fakes::RedisServer;

const RedisScript kEcho("return ARGV[1]");
const RedisScript kGreeting("return 'hello'", RedisScript::Kind::kGreeting);
const RedisScript kKey("return redis.call('GET', KEYS[1])");
const RedisScript kAppend("return redis.call('RPUSH', KEYS[1], ARGV[1])");

config::Address AddressOf(const RedisServer& server) {
  if (server.port() == 0) return config::UnixAddress{server.socket()};
  return config::TcpAddress{"127.0.0.1", static_cast<std::uint16_t>(server.port())};
}

class Connection : public testing::Test {
 protected:
  using Seen = std::optional<Result<RedisReply>>;

  void Connect(const RedisServer& server, const std::string& username = "",
               const std::string& password = "") {
    Connect({.address = AddressOf(server),
             .username = username,
             .password_file = password.empty() ? "" : PasswordFile(password),
             .reply_timeout = timeout_});
  }
  void Connect(RedisConnection::Options options) {
    connection_ = std::make_unique<RedisConnection>(loop_, std::move(options));
  }
  // A file that holds this password from now on.
  std::string PasswordFile(const std::string& password) {
    fakes::WriteSecret(folder_ / "password", password);
    return folder_ / "password";
  }

  Seen& Run(const RedisScript& script, std::vector<std::string> arguments = {}) {
    Seen& seen = seen_.emplace_back();
    connection_->Run(script, {"key"}, std::move(arguments), [this, &seen](Result<RedisReply> reply) {
      EXPECT_EQ(seen, std::nullopt);
      seen = std::move(reply);
      ++answered_;
    });
    return seen;
  }

  Result<RedisReply> Await(Seen& seen) {
    EXPECT_TRUE(loop_.RunUntil([&seen] { return seen.has_value(); }));
    return seen.value_or(absl::InternalError("never"));
  }

  // Greets until there is a connection, and runs the script.
  Result<RedisReply> Eventually(const RedisScript& script, std::vector<std::string> arguments = {}) {
    Result<RedisReply> reply = absl::UnavailableError("");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!reply.ok() && std::chrono::steady_clock::now() < end) reply = Await(Run(kGreeting));
    return reply.ok() ? Await(Run(script, std::move(arguments))) : reply;
  }

  // Asks until it fails with these words.
  bool FailsWith(const std::string& words, const RedisScript& script = kGreeting) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < end) {
      if (Await(Run(script, {"x"})).status().message() == words) return true;
    }
    return false;
  }

  static std::string TextIn(const Result<RedisReply>& reply) {
    if (!reply.ok()) return "error: " + std::string(reply.status().message());
    const auto* text = std::get_if<std::string>(&reply->value);
    return text == nullptr ? "no text" : *text;
  }

  fakes::TemporaryFolder folder_;
  std::chrono::milliseconds timeout_{10000};  // a busy machine is no failure
  fakes::HandCrankedLoop loop_;
  std::deque<Seen> seen_;
  std::size_t answered_ = 0;
  std::unique_ptr<RedisConnection> connection_;
};

TEST_F(Connection, RunsScriptsOverAUnixSocket) {
  const RedisServer server;
  Connect(server);
  EXPECT_EQ(TextIn(Eventually(kEcho, {std::string("a\0b\r\n", 5)})), std::string("a\0b\r\n", 5));
}

TEST_F(Connection, RunsScriptsOverTcp) {
  const RedisServer server({.door = RedisServer::Door::kTcp});
  Connect(server);
  EXPECT_EQ(TextIn(Eventually(kEcho, {"hello"})), "hello");
}

TEST_F(Connection, UnderstandsEachKindOfReply) {
  const RedisScript all("return {1, 'text', false, {2, {'deep'}}, redis.status_reply('OK')}");
  const RedisServer server;
  Connect(server);
  const Result<RedisReply> reply = Eventually(all);
  ASSERT_TRUE(reply.ok());
  const auto& elements = std::get<std::vector<RedisReply>>(reply->value);
  ASSERT_EQ(elements.size(), 5U);
  EXPECT_EQ(std::get<std::int64_t>(elements[0].value), 1);
  EXPECT_EQ(std::get<std::string>(elements[1].value), "text");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(elements[2].value));
  const auto& inner = std::get<std::vector<RedisReply>>(elements[3].value);
  const auto& innermost = std::get<std::vector<RedisReply>>(inner[1].value);
  EXPECT_EQ(std::get<std::string>(innermost[0].value), "deep");
  EXPECT_EQ(std::get<std::string>(elements[4].value), "OK");
}

TEST_F(Connection, RunsScriptsInTheOrderInWhichTheyCame) {
  const RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  constexpr std::size_t kScripts = 5000;
  std::vector<Seen*> seen;
  for (std::size_t i = 0; i < kScripts; ++i) seen.push_back(&Run(kAppend, {std::to_string(i)}));
  ASSERT_TRUE(loop_.RunUntil([&] { return seen.back()->has_value(); }));
  for (std::size_t i = 0; i < kScripts; ++i) {
    ASSERT_TRUE(seen[i]->has_value() && (*seen[i])->ok());
    ASSERT_EQ(std::get<std::int64_t>((*seen[i])->value().value), static_cast<std::int64_t>(i + 1));
  }
}

TEST_F(Connection, SendsAScriptsTextOnceAndAgainWhenRedisHasForgottenIt) {
  const RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  const auto count = [&server](const std::string& command) {
    const std::string stats = server.Ask({"INFO", "commandstats"});
    const std::size_t at = stats.find("cmdstat_" + command + ":calls=");
    return at == std::string::npos ? 0 : std::stoi(stats.substr(at + 15 + command.size()));
  };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(TextIn(Await(Run(kEcho, {"x"}))), "x");
  EXPECT_EQ(count("eval"), 2);  // with the greeting
  EXPECT_EQ(count("evalsha"), 5);
  server.Ask({"SCRIPT", "FLUSH"});
  Seen& first = Run(kEcho, {"1"});
  Seen& second = Run(kEcho, {"2"});
  EXPECT_EQ(TextIn(Await(first)), "1");
  EXPECT_EQ(TextIn(Await(second)), "2");
  EXPECT_EQ(TextIn(Await(Run(kEcho, {"3"}))), "3");
  EXPECT_GE(count("eval"), 3);
}

TEST_F(Connection, WithoutRedisFailsAtOnceAsNotRun) {
  RedisServer server;
  server.Kill();
  Connect(server);
  const Result<RedisReply> reply = Await(Run(kEcho));
  ASSERT_FALSE(reply.ok());
  EXPECT_FALSE(MayHaveRun(reply.status()));
  EXPECT_TRUE(FailsWith("there is no connection to Redis"));
}

TEST_F(Connection, ComesBackWhenRedisDoes) {
  RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  server.Kill();
  EXPECT_TRUE(FailsWith("there is no connection to Redis"));
  server.Start();
  EXPECT_EQ(TextIn(Eventually(kEcho, {"again"})), "again");
}

TEST_F(Connection, RunsNothingOnANewConnectionBeforeAGreeting) {
  RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  // It ends while nothing is asked.
  server.Kill();
  server.Start();
  const Result<RedisReply> first = Await(Run(kAppend, {"x"}));
  EXPECT_FALSE(first.ok());
  EXPECT_FALSE(MayHaveRun(first.status()));
  EXPECT_TRUE(FailsWith("the connection to Redis is a new one", kAppend));
  EXPECT_EQ(server.Ask({"EXISTS", "key"}), "0");
  EXPECT_TRUE(Eventually(kAppend, {"x"}).ok());
  EXPECT_EQ(server.Ask({"LRANGE", "key", "0", "-1"}), "x");
}

TEST_F(Connection, SaysWhatMayHaveBeenRunOfARedisThatStandsStill) {
  timeout_ = std::chrono::milliseconds(1000);
  RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  server.Pause();
  const auto begin = std::chrono::steady_clock::now();
  const Result<RedisReply> reply = Await(Run(kAppend, {"late"}));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1500));
  EXPECT_TRUE(MayHaveRun(reply.status()));
  EXPECT_EQ(reply.status().message(), "Redis does not answer in time");
  server.Resume();
  // It was not too late for Redis.
  ASSERT_TRUE(Eventually(kEcho).ok());
  EXPECT_EQ(server.Ask({"LRANGE", "key", "0", "-1"}), "late");
}

TEST_F(Connection, SaysWhatMayHaveBeenRunOfARedisThatDied) {
  RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  server.Pause();
  Seen& first = Run(kEcho, {"x"});
  Seen& second = Run(kEcho, {"x"});
  server.Kill();
  EXPECT_FALSE(Await(first).ok());
  EXPECT_FALSE(Await(second).ok());
}

TEST_F(Connection, TakesNoMoreThanItsInboxHolds) {
  timeout_ = std::chrono::milliseconds(5000);
  RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  server.Pause();
  answered_ = 0;
  constexpr std::size_t kMany = RedisConnection::kMaxInbox + RedisConnection::kMaxBatch + 1;
  for (std::size_t i = 0; i < kMany; ++i) Run(kEcho, {"x"});
  EXPECT_TRUE(loop_.RunUntil([this] { return answered_ == kMany; }));
  EXPECT_EQ(seen_.back()->status().message(), "too much waits for Redis");
  EXPECT_FALSE(MayHaveRun(seen_.back()->status()));
}

TEST_F(Connection, AnswersEverythingWhenItEnds) {
  timeout_ = std::chrono::milliseconds(1000);
  RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  answered_ = 0;
  server.Pause();
  for (int i = 0; i < 5000; ++i) Run(kEcho, {"x"});
  connection_.reset();
  loop_.RunPending();
  EXPECT_EQ(answered_, 5000U);
}

TEST_F(Connection, RunsWhatWaitsBeforeItEnds) {
  const RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  for (int i = 0; i < 3000; ++i) Run(kAppend, {"x"});
  connection_.reset();
  EXPECT_EQ(server.Ask({"LLEN", "key"}), "3000");
}

TEST_F(Connection, LogsInWithAPassword) {
  const RedisServer server({.settings = {"--requirepass", "the-password"}});
  Connect(server, "", "the-password");
  EXPECT_EQ(TextIn(Eventually(kEcho, {"in"})), "in");
}

TEST_F(Connection, LogsInAsAUser) {
  const RedisServer server(
      {.settings = {"--user", "tokend", "on", ">pass~word", "~*", "+eval", "+evalsha", "+info"}});
  Connect(server, "tokend", "pass~word");
  EXPECT_EQ(TextIn(Eventually(kEcho, {"in"})), "in");
}

TEST_F(Connection, ReadsThePasswordAtEachAttemptToConnect) {
  RedisServer server({.settings = {"--requirepass", "before"}});
  Connect(server, "", "before");
  ASSERT_EQ(TextIn(Eventually(kEcho, {"in"})), "in");
  PasswordFile("after");
  EXPECT_EQ(TextIn(Await(Run(kEcho, {"still in"}))), "still in");
  server.Kill();
  EXPECT_TRUE(FailsWith("there is no connection to Redis"));
  server.Start();
  EXPECT_TRUE(FailsWith("Redis refuses the user or the password")) << "Redis has the old one yet";
  PasswordFile("before");
  EXPECT_EQ(TextIn(Eventually(kEcho, {"again"})), "again");
}

TEST_F(Connection, SaysThatThePasswordCannotBeRead) {
  const RedisServer server({.settings = {"--requirepass", "right"}});
  Connect({.address = AddressOf(server), .password_file = folder_ / "none"});
  EXPECT_TRUE(FailsWith((folder_ / "none") + ": cannot be read: No such file or directory"));
  fakes::WriteSecret(folder_ / "none", "right");
  EXPECT_EQ(TextIn(Eventually(kEcho, {"in"})), "in");
}

TEST_F(Connection, SaysThatThePasswordIsWrong) {
  const RedisServer server({.settings = {"--requirepass", "right"}});
  Connect(server, "", "wrong");
  EXPECT_TRUE(FailsWith("Redis refuses the user or the password"));
}

TEST_F(Connection, SaysThatAPasswordIsMissing) {
  const RedisServer server({.settings = {"--requirepass", "right"}});
  Connect(server);
  EXPECT_TRUE(FailsWith("Redis asks for a password"));
}

TEST_F(Connection, SaysThatAUserMayNotDoWhatIsNeeded) {
  const RedisServer server(
      {.settings = {"--user", "tokend", "on", ">secret", "~*", "+eval", "+evalsha", "+info"}});
  Connect(server, "tokend", "secret");
  ASSERT_TRUE(Eventually(kEcho).ok());
  const Result<RedisReply> reply = Await(Run(kKey));
  EXPECT_EQ(reply.status().message(), "Redis does not permit its user a command that it needs");
  EXPECT_TRUE(MayHaveRun(reply.status()));
}

TEST_F(Connection, UsesNoRedisThatEvictsKeys) {
  const RedisServer server({.settings = {"--maxmemory-policy", "volatile-lru"}});
  Connect(server);
  EXPECT_TRUE(FailsWith("Redis may evict keys: its maxmemory-policy must be noeviction"));
  server.Ask({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  EXPECT_EQ(TextIn(Eventually(kEcho, {"now"})), "now");
}

TEST_F(Connection, LooksAtThePolicyAgainWhileItIsConnected) {
  const RedisServer server;
  Connect({.address = AddressOf(server),
           .reply_timeout = timeout_,
           .policy_look = std::chrono::milliseconds(20)});
  ASSERT_TRUE(Eventually(kEcho).ok());
  server.Ask({"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"});
  EXPECT_TRUE(FailsWith("Redis may evict keys: its maxmemory-policy must be noeviction"));
  server.Ask({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  EXPECT_EQ(TextIn(Eventually(kEcho, {"now"})), "now");
}

TEST_F(Connection, SaysThatRedisIsFullAndThatNothingWasRun) {
  const RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  server.Ask({"CONFIG", "SET", "maxmemory", "1"});
  const Result<RedisReply> full = Await(Run(kAppend, {"x"}));
  EXPECT_EQ(full.status().message(), "Redis is out of memory (maxmemory)");
  EXPECT_FALSE(MayHaveRun(full.status()));
  server.Ask({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(Await(Run(kAppend, {"x"})).ok());
}

TEST_F(Connection, LooksForAnotherRedisWhenItsOwnHasBecomeAReplica) {
  const RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  server.Ask({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_TRUE(FailsWith("this Redis is a replica, only to be read", kAppend));
  server.Ask({"REPLICAOF", "NO", "ONE"});
  EXPECT_TRUE(Eventually(kAppend, {"x"}).ok());
}

TEST_F(Connection, QuotesNothingOfAnError) {
  const RedisScript fails("error('secret ' .. ARGV[1])");
  const RedisServer server;
  Connect(server);
  ASSERT_TRUE(Eventually(kEcho).ok());
  const Result<RedisReply> reply = Await(Run(fails, {"sealed"}));
  EXPECT_EQ(reply.status().message(), "Redis reports an error in a script");
  EXPECT_TRUE(MayHaveRun(reply.status()));
}

}  // namespace
}  // namespace tokend::state
