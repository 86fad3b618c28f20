#include "tests/fakes/simulated_redis.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

extern "C" {
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
}

namespace tokend::fakes {
namespace {

constexpr std::chrono::milliseconds kOneWay{1};

using Arguments = std::vector<std::string>;

// As Redis prints a score.
std::string Print(double number) {
  std::array<char, 64> text;
  const char* form = number == std::floor(number) && std::abs(number) < 1e17 ? "%.0f" : "%.17g";
  return {text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), form, number))};
}

// Members by score and name, found by their rank as well.
class SortedSet {
 public:
  using Entry = std::pair<double, std::string>;
  using Order = __gnu_pbds::tree<Entry, __gnu_pbds::null_type, std::less<>, __gnu_pbds::rb_tree_tag,
                                 __gnu_pbds::tree_order_statistics_node_update>;

  void Add(double score, const std::string& member) {
    Remove(member);
    scores_[member] = score;
    order_.insert({score, member});
  }
  bool Remove(const std::string& member) {
    const auto known = scores_.find(member);
    if (known == scores_.end()) return false;
    order_.erase({known->second, member});
    scores_.erase(known);
    return true;
  }
  std::optional<double> ScoreOf(const std::string& member) const {
    const auto known = scores_.find(member);
    return known == scores_.end() ? std::nullopt : std::optional(known->second);
  }
  std::size_t size() const { return scores_.size(); }
  std::size_t RankOf(const std::string& member) const {
    return order_.order_of_key({scores_.at(member), member});
  }
  // How many have a score lower than this one or, with `through`, not higher.
  std::size_t Below(double score, bool through) const {
    const double bound = through ? std::nextafter(score, std::numeric_limits<double>::infinity()) : score;
    return order_.order_of_key({bound, std::string()});
  }
  const Entry& At(std::size_t rank) const { return *order_.find_by_order(rank); }

 private:
  std::unordered_map<std::string, double> scores_;
  Order order_;
};

struct Value {
  std::variant<std::string, std::map<std::string, std::string>, SortedSet, std::deque<std::string>> of;
  std::optional<std::int64_t> expires = std::nullopt;  // in milliseconds
};

// How many entries come before a bound of a range by score.
std::size_t RankOfBound(const SortedSet& set, const std::string& bound, bool lower) {
  if (bound == "-inf") return 0;
  if (bound == "+inf") return set.size();
  const bool open = bound.front() == '(';
  const double score = std::strtod(bound.c_str() + (open ? 1 : 0), nullptr);
  return set.Below(score, lower ? open : !open);
}

}  // namespace

class SimulatedRedis::Impl {
 public:
  explicit Impl(const loop::Clock& clock) : clock_(clock), lua_(luaL_newstate()) {
    luaL_openlibs(lua_);
    lua_newtable(lua_);
    lua_pushlightuserdata(lua_, this);
    lua_pushcclosure(lua_, &Impl::Call, 1);
    lua_setfield(lua_, -2, "call");
    lua_setglobal(lua_, "redis");
  }
  ~Impl() { lua_close(lua_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  state::RedisReply Run(const state::RedisScript& script, const Arguments& arguments) {
    ++runs_;
    const auto [compiled, added] = compiled_.try_emplace(&script, 0);
    if (added) {
      const std::string& text = script.lua;
      if (luaL_loadbuffer(lua_, text.data(), text.size(), "script") != 0) Throw();
      compiled->second = luaL_ref(lua_, LUA_REGISTRYINDEX);
    }
    lua_createtable(lua_, static_cast<int>(arguments.size()), 0);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      lua_pushlstring(lua_, arguments[i].data(), arguments[i].size());
      lua_rawseti(lua_, -2, static_cast<int>(i + 1));
    }
    lua_setglobal(lua_, "ARGV");
    lua_rawgeti(lua_, LUA_REGISTRYINDEX, compiled->second);
    if (lua_pcall(lua_, 0, 1, 0) != 0) Throw();
    state::RedisReply reply = Take(-1);
    lua_settop(lua_, 0);
    return reply;
  }

  void SetHash(const std::string& key, const std::vector<std::pair<std::string, std::string>>& fields) {
    for (const auto& [name, value] : fields) Make<std::map<std::string, std::string>>(key)[name] = value;
  }

  std::uint64_t runs() const { return runs_; }

 private:
  [[noreturn]] void Throw() { throw std::runtime_error(std::string("script: ") + lua_tostring(lua_, -1)); }

  std::int64_t NowMicros() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(clock_.WallNow().time_since_epoch()).count();
  }

  // The value of a key, unless it has expired.
  Value* Find(const std::string& key) {
    const auto found = values_.find(key);
    if (found == values_.end()) return nullptr;
    if (found->second.expires && *found->second.expires * 1000 <= NowMicros()) {
      values_.erase(found);
      return nullptr;
    }
    return &found->second;
  }
  template <class T>
  T* Get(const std::string& key) {
    Value* value = Find(key);
    return value == nullptr ? nullptr : &std::get<T>(value->of);
  }
  template <class T>
  T& Make(const std::string& key) {
    Value* value = Find(key);
    if (value == nullptr) value = &values_.emplace(key, Value{T(), std::nullopt}).first->second;
    return std::get<T>(value->of);
  }
  template <class T>
  void DropEmpty(const std::string& key) {
    const T* of = Get<T>(key);
    if (of != nullptr && of->size() == 0) values_.erase(key);
  }

  void Push(const std::string& text) { lua_pushlstring(lua_, text.data(), text.size()); }
  void PushNil() { lua_pushboolean(lua_, 0); }
  void PushCount(std::size_t count) { lua_pushnumber(lua_, static_cast<double>(count)); }
  void PushOk() {
    lua_newtable(lua_);
    Push("OK");
    lua_setfield(lua_, -2, "ok");
  }
  void PushEntries(const SortedSet& set, std::size_t from, std::size_t to, bool scores) {
    lua_newtable(lua_);
    int at = 0;
    for (std::size_t rank = from; rank < to; ++rank) {
      const SortedSet::Entry& entry = set.At(rank);
      Push(entry.second);
      lua_rawseti(lua_, -2, ++at);
      if (!scores) continue;
      Push(Print(entry.first));
      lua_rawseti(lua_, -2, ++at);
    }
  }

  static int Call(lua_State* lua) {
    if (CallKnown(lua)) return 1;
    // It jumps out of this function, so no object may be alive here that has a destructor.
    return luaL_error(lua, "no such command: %s", lua_tostring(lua, 1));
  }
  static bool CallKnown(lua_State* lua) {
    auto& self = *static_cast<Impl*>(lua_touserdata(lua, lua_upvalueindex(1)));
    Arguments a;
    for (int i = 1; i <= lua_gettop(lua); ++i) {
      std::size_t size = 0;
      const char* text = lua_tolstring(lua, i, &size);
      a.emplace_back(text != nullptr ? text : "", size);
    }
    const auto command = Commands().find(a.at(0));
    if (command == Commands().end()) return false;
    (self.*command->second)(a);
    return true;
  }

  using Command = void (Impl::*)(const Arguments&);
  static const std::unordered_map<std::string_view, Command>& Commands() {
    static const std::unordered_map<std::string_view, Command> kCommands = {
        {"TIME", &Impl::Time},
        {"GET", &Impl::GetText},
        {"SET", &Impl::SetText},
        {"DEL", &Impl::Del},
        {"PEXPIRE", &Impl::Expire},
        {"PEXPIREAT", &Impl::ExpireAt},
        {"PTTL", &Impl::Ttl},
        {"HGET", &Impl::HGet},
        {"HMGET", &Impl::HMGet},
        {"HSET", &Impl::HSet},
        {"HDEL", &Impl::HDel},
        {"HLEN", &Impl::HLen},
        {"ZADD", &Impl::ZAdd},
        {"ZREM", &Impl::ZRem},
        {"ZCARD", &Impl::ZCard},
        {"ZSCORE", &Impl::ZScore},
        {"ZRANK", &Impl::ZRank},
        {"ZCOUNT", &Impl::ZCount},
        {"ZRANGE", &Impl::ZRange},
        {"RPUSH", &Impl::RPush},
        {"LRANGE", &Impl::LRange},
        {"ZRANGEBYSCORE", &Impl::ZRangeByScore},
        {"ZREMRANGEBYSCORE", &Impl::ZRemRangeByScore},
    };
    return kCommands;
  }

  using Hash = std::map<std::string, std::string>;
  using List = std::deque<std::string>;

  void Time(const Arguments&) {
    const std::int64_t now = NowMicros();
    lua_newtable(lua_);
    Push(std::to_string(now / 1'000'000));
    lua_rawseti(lua_, -2, 1);
    Push(std::to_string(now % 1'000'000));
    lua_rawseti(lua_, -2, 2);
  }
  void GetText(const Arguments& a) {
    const std::string* text = Get<std::string>(a.at(1));
    if (text == nullptr) return PushNil();
    Push(*text);
  }
  void SetText(const Arguments& a) {
    values_[a.at(1)] = Value{a.at(2), std::nullopt};
    PushOk();
  }
  void Del(const Arguments& a) {
    std::size_t count = 0;
    for (std::size_t i = 1; i < a.size(); ++i) count += Find(a[i]) != nullptr ? values_.erase(a[i]) : 0;
    PushCount(count);
  }
  void SetExpiry(const std::string& key, std::int64_t milliseconds) {
    Value* value = Find(key);
    if (value != nullptr) value->expires = milliseconds;
    PushCount(value != nullptr ? 1 : 0);
  }
  void Expire(const Arguments& a) { SetExpiry(a.at(1), NowMicros() / 1000 + std::stoll(a.at(2))); }
  void ExpireAt(const Arguments& a) { SetExpiry(a.at(1), std::stoll(a.at(2))); }
  void Ttl(const Arguments& a) {
    const Value* value = Find(a.at(1));
    const double ttl = value == nullptr  ? -2
                       : !value->expires ? -1
                                         : static_cast<double>(*value->expires - NowMicros() / 1000);
    lua_pushnumber(lua_, ttl);
  }
  void PushField(const Hash* hash, const std::string& name) {
    const auto field = hash == nullptr ? Hash::const_iterator() : hash->find(name);
    if (hash == nullptr || field == hash->end()) return PushNil();
    Push(field->second);
  }
  void HGet(const Arguments& a) { PushField(Get<Hash>(a.at(1)), a.at(2)); }
  void HMGet(const Arguments& a) {
    const Hash* hash = Get<Hash>(a.at(1));
    lua_newtable(lua_);
    for (std::size_t i = 2; i < a.size(); ++i) {
      PushField(hash, a[i]);
      lua_rawseti(lua_, -2, static_cast<int>(i - 1));
    }
  }
  void HSet(const Arguments& a) {
    Hash& hash = Make<Hash>(a.at(1));
    for (std::size_t i = 2; i + 1 < a.size(); i += 2) hash[a[i]] = a[i + 1];
    PushCount((a.size() - 2) / 2);
  }
  void HDel(const Arguments& a) {
    Hash* hash = Get<Hash>(a.at(1));
    PushCount(hash != nullptr ? hash->erase(a.at(2)) : 0);
    DropEmpty<Hash>(a[1]);
  }
  void HLen(const Arguments& a) {
    const Hash* hash = Get<Hash>(a.at(1));
    PushCount(hash != nullptr ? hash->size() : 0);
  }
  void ZAdd(const Arguments& a) {
    Make<SortedSet>(a.at(1)).Add(std::strtod(a.at(2).c_str(), nullptr), a.at(3));
    PushCount(1);
  }
  void ZRem(const Arguments& a) {
    SortedSet* set = Get<SortedSet>(a.at(1));
    PushCount(set != nullptr && set->Remove(a.at(2)) ? 1 : 0);
    DropEmpty<SortedSet>(a[1]);
  }
  void ZCard(const Arguments& a) {
    const SortedSet* set = Get<SortedSet>(a.at(1));
    PushCount(set != nullptr ? set->size() : 0);
  }
  void ZScore(const Arguments& a) {
    const SortedSet* set = Get<SortedSet>(a.at(1));
    const auto score = set != nullptr ? set->ScoreOf(a.at(2)) : std::nullopt;
    if (!score) return PushNil();
    Push(Print(*score));
  }
  void ZRank(const Arguments& a) {
    const SortedSet* set = Get<SortedSet>(a.at(1));
    if (set == nullptr || !set->ScoreOf(a.at(2))) return PushNil();
    PushCount(set->RankOf(a[2]));
  }
  void ZCount(const Arguments& a) {
    const SortedSet* set = Get<SortedSet>(a.at(1));
    if (set == nullptr) return PushCount(0);
    const std::size_t from = RankOfBound(*set, a.at(2), true);
    const std::size_t to = RankOfBound(*set, a.at(3), false);
    PushCount(to > from ? to - from : 0);
  }
  void ZRange(const Arguments& a) {
    const SortedSet* set = Get<SortedSet>(a.at(1));
    const auto size = static_cast<long long>(set != nullptr ? set->size() : 0);
    const auto index = [size](const std::string& text) {
      const long long at = std::stoll(text);
      return at < 0 ? at + size : at;
    };
    const long long from = std::max(index(a.at(2)), 0LL);
    const long long to = std::min(index(a.at(3)) + 1, size);
    if (set == nullptr || from >= to) return lua_newtable(lua_);
    PushEntries(*set, static_cast<std::size_t>(from), static_cast<std::size_t>(to), a.size() > 4);
  }
  void ZRangeByScore(const Arguments& a) {
    const SortedSet* set = Get<SortedSet>(a.at(1));
    if (set == nullptr) return lua_newtable(lua_);
    bool scores = false;
    std::size_t limit = set->size();
    for (std::size_t i = 4; i < a.size(); ++i) {
      if (a[i] == "WITHSCORES") scores = true;
      if (a[i] == "LIMIT") limit = std::stoul(a.at(i + 2));
    }
    const std::size_t from = RankOfBound(*set, a.at(2), true);
    const std::size_t to = std::min(RankOfBound(*set, a.at(3), false), from + limit);
    PushEntries(*set, from, to, scores);
  }
  void ZRemRangeByScore(const Arguments& a) {
    SortedSet* set = Get<SortedSet>(a.at(1));
    std::size_t removed = 0;
    if (set != nullptr) {
      const std::size_t from = RankOfBound(*set, a.at(2), true);
      for (std::size_t to = RankOfBound(*set, a.at(3), false); from + removed < to; ++removed) {
        set->Remove(std::string(set->At(from).second));
      }
    }
    PushCount(removed);
    DropEmpty<SortedSet>(a[1]);
  }
  void RPush(const Arguments& a) {
    List& list = Make<List>(a.at(1));
    for (std::size_t i = 2; i < a.size(); ++i) list.push_back(a[i]);
    PushCount(list.size());
  }
  // The whole list: the scripts ask for no part of it.
  void LRange(const Arguments& a) {
    const List* list = Get<List>(a.at(1));
    lua_newtable(lua_);
    int at = 0;
    if (list == nullptr) return;
    for (const std::string& text : *list) {
      Push(text);
      lua_rawseti(lua_, -2, ++at);
    }
  }

  // A script's result as Redis sends it: a list ends at its first nil, and numbers lose their fraction.
  state::RedisReply Take(int at) {
    switch (lua_type(lua_, at)) {
      case LUA_TNUMBER:
        return {static_cast<std::int64_t>(lua_tonumber(lua_, at))};
      case LUA_TSTRING: {
        std::size_t size = 0;
        const char* text = lua_tolstring(lua_, at, &size);
        return {std::string(text, size)};
      }
      case LUA_TTABLE: {
        std::vector<state::RedisReply> list;
        const int table = lua_gettop(lua_);
        for (int i = 1;; ++i) {
          lua_rawgeti(lua_, table, i);
          if (lua_isnil(lua_, -1)) break;
          list.push_back(Take(-1));
          lua_settop(lua_, table);
        }
        lua_settop(lua_, table);
        return {std::move(list)};
      }
      default:
        return {};
    }
  }

  const loop::Clock& clock_;
  lua_State* lua_;
  std::unordered_map<const state::RedisScript*, int> compiled_;
  std::unordered_map<std::string, Value> values_;
  std::uint64_t runs_ = 0;
};

SimulatedRedis::SimulatedRedis(const loop::Clock& clock) : impl_(std::make_unique<Impl>(clock)) {}
SimulatedRedis::~SimulatedRedis() = default;

state::RedisReply SimulatedRedis::Run(const state::RedisScript& script,
                                      const std::vector<std::string>& arguments) {
  return impl_->Run(script, arguments);
}

void SimulatedRedis::SetHash(const std::string& key,
                             const std::vector<std::pair<std::string, std::string>>& fields) {
  impl_->SetHash(key, fields);
}

std::uint64_t SimulatedRedis::runs() const { return impl_->runs(); }

// The scripts that have no answer yet, by number.
struct SimulatedConnection::Wire {
  std::map<std::uint64_t, Done> waiting;
  std::uint64_t last = 0;
};

SimulatedConnection::SimulatedConnection(loop::EventLoop& loop, SimulatedRedis& redis)
    : loop_(loop), redis_(redis), wire_(std::make_shared<Wire>()) {}

SimulatedConnection::~SimulatedConnection() { Break(); }

void SimulatedConnection::Run(const state::RedisScript& script, std::vector<std::string> /*keys*/,
                              std::vector<std::string> arguments, Done done) {
  const std::uint64_t number = ++wire_->last;
  wire_->waiting.emplace(number, std::move(done));
  // A script that was sent arrives, also if its replica has died meanwhile.
  loop_.After(kOneWay, [&loop = loop_, &redis = redis_, &script, arguments = std::move(arguments),
                        wire = std::weak_ptr(wire_), number] {
    state::RedisReply reply = redis.Run(script, arguments);
    loop.After(kOneWay, [wire, number, reply = std::move(reply)]() mutable {
      const auto still = wire.lock();
      if (!still) return;
      const auto waiting = still->waiting.find(number);
      if (waiting == still->waiting.end()) return;
      Done tell = std::move(waiting->second);
      still->waiting.erase(waiting);
      tell(std::move(reply));
    });
  });
}

void SimulatedConnection::Break() {
  auto broken = std::exchange(wire_, std::make_shared<Wire>());
  for (auto& [number, done] : broken->waiting) {
    loop_.Post([done = std::move(done)]() mutable { done(absl::UnknownError("the connection broke")); });
  }
}

}  // namespace tokend::fakes
