// deploy/audit.md says how logs are shipped to Elasticsearch. These tests run the script for Fluent Bit, and
// read the files for Vector and for Elasticsearch.
#include <gmock/gmock.h>
#include <simdjson.h>

#include <fstream>
#include <iterator>
#include <lua.hpp>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace tokend::audit {
namespace {

using simdjson::dom::element;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Not;
using testing::Pair;

std::string Deployed(const std::string& path) {
  std::ifstream file(std::string(TOKEND_SOURCE) + "/deploy/" + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

constexpr char kPrev[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

// A record with every key, and with this time and peer.
std::string LineOf(const std::string& time, const std::string& peer = "ipv4:192.0.2.7:4711") {
  return R"({"seq":42,"time":")" + time +
         R"(","event":"token.unknown","request_id":"018f3b2a-0000-7000-8000-000000000001","intent":41,"caller":{)"
         R"("name":"ci","authentication":"jwt","listener":"cluster","peer":")" +
         peer +
         R"("},"target":{"organization":"acme","application":"ios-app","scopes":["sdk","other"],"description":)"
         R"("2026-01-01"},"grant":"mobile-ci","config":"0123456789abcdef","upstream":{"http_status":502,)"
         R"("error_code":5003,"latency_us":84123,"key_generation":3},"token":{"id":"5f0c1a2b3c4d5e6f7a8b9c0d"},)"
         R"("reason":"OUTCOME_UNKNOWN","detail":"no answer","count":2,"prev":")" +
         kPrev + "\"}";
}

constexpr char kTime[] = "2026-01-31T08:00:00.123456Z";

// The members of a document, by their paths ("event.action"). The values of an array are joined.
using Document = std::map<std::string, std::string>;

// audit.lua, run as Fluent Bit runs it.
class FluentBit {
 public:
  FluentBit() {
    luaL_openlibs(lua_);
    const std::string script = Deployed("fluent-bit/audit.lua");
    EXPECT_EQ(luaL_dostring(lua_, script.c_str()), 0) << lua_tostring(lua_, -1);
  }
  ~FluentBit() { lua_close(lua_); }
  FluentBit(const FluentBit&) = delete;
  FluentBit& operator=(const FluentBit&) = delete;

  // The document of a line; empty where the script drops it.
  Document Ship(const std::string& line) {
    lua_getglobal(lua_, "to_ecs");
    lua_pushstring(lua_, "tokend.audit");
    lua_pushnumber(lua_, 1);
    PushParsed(line);
    EXPECT_EQ(lua_pcall(lua_, 3, 3, 0), 0) << lua_tostring(lua_, -1);
    Document document;
    if (lua_tonumber(lua_, -3) >= 0) Flatten("", document);
    lua_settop(lua_, 0);
    return document;
  }

 private:
  // What the filter "parser" of tokend.yaml makes of a line.
  void PushParsed(const std::string& line) {
    const std::string settings = Deployed("fluent-bit/tokend.yaml");
    const auto has = [&settings](const char* setting) { return settings.find(setting) != std::string::npos; };
    element parsed;
    simdjson::dom::parser parser;
    const bool is_record = parser.parse(line).get(parsed) == simdjson::SUCCESS;
    is_record ? Push(parsed) : lua_newtable(lua_);
    if (is_record && !has("\n    time_keep: on")) {
      lua_pushnil(lua_);
      lua_setfield(lua_, -2, "time");
    }
    // Fluent Bit keeps the parsed key among the other data, or not at all.
    if (!is_record || (has("\n      preserve_key: true") && has("\n      reserve_data: true"))) {
      lua_pushlstring(lua_, line.data(), line.size());
      lua_setfield(lua_, -2, "line");
    }
  }

  void Push(element value) {
    if (value.is_string()) {
      const std::string_view text = value.get_string();
      return lua_pushlstring(lua_, text.data(), text.size());
    }
    if (value.is_number()) return lua_pushnumber(lua_, static_cast<double>(value.get_int64().value()));
    lua_newtable(lua_);
    if (value.is_array()) {
      int index = 0;
      for (const element item : value.get_array()) {
        Push(item);
        lua_rawseti(lua_, -2, ++index);
      }
      return;
    }
    for (const auto [key, member] : value.get_object()) {
      Push(member);
      lua_setfield(lua_, -2, std::string(key).c_str());
    }
  }

  // Adds what is on top of the stack.
  void Flatten(const std::string& path, Document& document) {
    if (!lua_istable(lua_, -1)) {
      lua_pushvalue(lua_, -1);  // lua_tostring changes a number in its place
      std::string& value = document[path];
      value += (value.empty() ? "" : ",") + std::string(lua_tostring(lua_, -1));
      return lua_pop(lua_, 1);
    }
    lua_pushnil(lua_);
    while (lua_next(lua_, -2) != 0) {
      const bool in_array = lua_type(lua_, -2) == LUA_TNUMBER;
      const std::string key = in_array ? "" : lua_tostring(lua_, -2);
      Flatten(in_array ? path : path + (path.empty() ? "" : ".") + key, document);
      lua_pop(lua_, 1);
    }
  }

  lua_State* lua_ = luaL_newstate();
};

// The fields of the Elastic Common Schema that the page's first table of them names.
std::set<std::string> FieldsOnThePage() {
  const std::string page = Deployed("audit.md");
  const std::size_t begin = page.find("| record | [Elastic Common Schema]");
  const std::string table = page.substr(begin, page.find("\n\n", begin) - begin);
  std::set<std::string> fields;
  const std::regex row(R"re(\n\|[^|]*\|([^|]*)\|)re");
  const std::regex name(R"re(`([@a-z_.]+)`)re");
  for (std::sregex_iterator at(table.begin(), table.end(), row), end; at != end; ++at) {
    const std::string cell = (*at)[1];
    for (std::sregex_iterator field(cell.begin(), cell.end(), name); field != end; ++field) {
      fields.insert((*field)[1]);
    }
  }
  return fields;
}

TEST(Shipping, MakesEachRecordADocumentOfTheElasticCommonSchema) {
  const std::string line = LineOf(kTime);
  EXPECT_EQ(FluentBit().Ship(line), (Document{{"id", "42-0123456789abcdef-2026-01-31T08:00:00.123456Z"},
                                              {"ecs.version", "8.11.0"},
                                              {"message", "no answer"},
                                              {"event.kind", "event"},
                                              {"event.action", "token.unknown"},
                                              {"event.category", "iam"},
                                              {"event.type", "creation"},
                                              {"event.outcome", "unknown"},
                                              {"event.sequence", "42"},
                                              {"event.reason", "OUTCOME_UNKNOWN"},
                                              {"event.duration", "84123000"},
                                              {"event.original", line},
                                              {"user.name", "ci"},
                                              {"client.address", "ipv4:192.0.2.7:4711"},
                                              {"client.ip", "192.0.2.7"},
                                              {"client.port", "4711"},
                                              {"organization.name", "acme"},
                                              {"rule.name", "mobile-ci"},
                                              {"rule.version", "0123456789abcdef"},
                                              {"http.response.status_code", "502"},
                                              {"error.code", "5003"},
                                              {"tokend.request_id", "018f3b2a-0000-7000-8000-000000000001"},
                                              {"tokend.intent", "41"},
                                              {"tokend.caller.authentication", "jwt"},
                                              {"tokend.caller.listener", "cluster"},
                                              {"tokend.target.application", "ios-app"},
                                              {"tokend.target.scopes", "sdk,other"},
                                              {"tokend.target.description", "2026-01-01"},
                                              {"tokend.upstream.key_generation", "3"},
                                              {"tokend.token.id", "5f0c1a2b3c4d5e6f7a8b9c0d"},
                                              {"tokend.count", "2"},
                                              {"tokend.prev", kPrev}}));
}

TEST(Shipping, KeepsTheLineAsItStandsSoThatItsChainCanBeChecked) {
  const std::string line = LineOf(kTime);
  EXPECT_THAT(FluentBit().Ship(line), Contains(Pair("event.original", line)));
  EXPECT_THAT(Deployed("vector/tokend.yaml"), HasSubstr("      .event.original = line\n"));
}

TEST(Shipping, GivesALogThatBeginsAnewOtherDocuments) {
  FluentBit shipper;
  const std::string id = shipper.Ship(LineOf(kTime))["id"];
  EXPECT_EQ(shipper.Ship(LineOf(kTime))["id"], id) << "a line that comes twice is one document";
  EXPECT_NE(shipper.Ship(LineOf("2026-01-31T08:00:00.123457Z"))["id"], id);
  EXPECT_THAT(Deployed("vector/tokend.yaml"),
              HasSubstr("join!([to_string!(record.seq), slice!(string!(record.prev), 0, 16), "
                        "string!(record.time)], separator: \"-\")"));
}

TEST(Shipping, TellsTheAddressOfAPeerFromItsPort) {
  FluentBit shipper;
  const Document v6 = shipper.Ship(LineOf(kTime, "ipv6:[2001:db8::7]:443"));
  EXPECT_THAT(v6, Contains(Pair("client.ip", "2001:db8::7")));
  EXPECT_THAT(v6, Contains(Pair("client.port", "443")));
  const Document local = shipper.Ship(LineOf(kTime, "unix:uid=1000"));
  EXPECT_THAT(local, Contains(Pair("client.address", "unix:uid=1000")));
  EXPECT_THAT(local, Not(Contains(Key("client.ip"))));
}

TEST(Shipping, DropsALineThatACrashCutOff) {
  EXPECT_THAT(FluentBit().Ship(LineOf(kTime).substr(0, 100)), IsEmpty());
}

TEST(Shipping, FillsTheFieldsThatThePageNames) {
  const Document document = FluentBit().Ship(LineOf(kTime));
  const std::string vector = Deployed("vector/tokend.yaml");
  const std::set<std::string> fields = FieldsOnThePage();
  EXPECT_GT(fields.size(), 15U);
  for (const std::string& field : fields) {
    if (field == "tokend.") continue;
    if (field != "@timestamp") {
      EXPECT_THAT(document, Contains(Key(field)));
    }
    EXPECT_THAT(vector, HasSubstr(field == "@timestamp" ? ".\"@timestamp\" = " : " ." + field + " = "));
  }
  for (const auto& [path, value] : document) {
    const bool own = path.starts_with("tokend.") || path == "id" || path == "event.kind" ||
                     path == "event.category" || path == "event.type" || path == "event.outcome";
    EXPECT_TRUE(own || fields.contains(path)) << path << " is not on the page";
  }
}

TEST(Shipping, FixesTheTypeOfEachFieldWhateverTheFirstTextLooksLike) {
  const std::string text = Deployed("elasticsearch/index-template.json");
  simdjson::dom::parser parser;
  element root;
  ASSERT_EQ(parser.parse(text).get(root), simdjson::SUCCESS);
  EXPECT_THAT(Deployed("fluent-bit/tokend.yaml"), HasSubstr("index: tokend-audit-"));
  EXPECT_THAT(Deployed("vector/tokend.yaml"), HasSubstr("index: \"tokend-audit-"));
  EXPECT_EQ(root["index_patterns"].at(0).get_string().value(), "tokend-audit-*");
  const element mappings = root["template"]["mappings"];
  EXPECT_FALSE(mappings["date_detection"].get_bool().value()) << "a description may look like a date";
  EXPECT_FALSE(mappings["numeric_detection"].get_bool().value());
  EXPECT_EQ(mappings["dynamic_templates"].at(0)["texts"]["mapping"]["type"].get_string().value(), "keyword");
  for (const auto& [path, value] : FluentBit().Ship(LineOf(kTime))) {
    if (path.starts_with("tokend.")) continue;
    const std::string pointer =
        "/properties/" + std::regex_replace(path, std::regex("\\."), "/properties/") + "/type";
    EXPECT_EQ(mappings.at_pointer(pointer).error(), simdjson::SUCCESS) << path << " has no type";
  }
}

}  // namespace
}  // namespace tokend::audit
