#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/fakes/temporary_folder.h"
#include "tests/unit/identity/jwt_fixture.h"

// Tokens and key sets that neither this project nor the library that it verifies with has made.
namespace tokend::identity {
namespace {

// What a program has written into a folder of its own.
class Made {
 public:
  explicit Made(const std::string& program) {
    const std::string command = program + " " + folder_.path().native() + " " + std::to_string(kNow);
    if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot run " + program);
  }

  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (entry.path().extension() == ".token") names.insert(entry.path().stem());
    }
    return names;
  }

  // The caller's name, or what was wrong.
  std::string Judge(const std::string& name, config::JwtAuthentication jwt = Trusting()) const {
    const Result<Caller> caller = Trust(Read(name + ".jwks"), std::move(jwt)).Judge(Read(name + ".token"));
    return caller.ok() ? caller->name() : std::string(caller.status().message());
  }

 private:
  std::string Read(const std::string& name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fakes::TemporaryFolder folder_;
};

const std::string kScripts = TOKEND_SOURCE "/tests/unit/identity/";

TEST(Interoperation, TakesTheTokensThatPythonMakes) {
  const Made made("/usr/bin/python3 " + kScripts + "interop_python.py");
  std::set<std::string> names = made.Names();
  for (const std::string name :
       {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}) {
    EXPECT_EQ(made.Judge(name), "ci:builder") << name;
    names.erase(name);
  }

  EXPECT_EQ(made.Judge("kubernetes"), "system:serviceaccount:shop:checkout");
  config::JwtAuthentication by_claims = Trusting();
  by_claims.caller_template = "k8s:{/kubernetes.io/namespace}:{/kubernetes.io/serviceaccount/name}";
  EXPECT_EQ(made.Judge("kubernetes", by_claims), "k8s:shop:checkout");
  names.erase("kubernetes");

  EXPECT_EQ(made.Judge("spiffe"), "the token's claims give a name that another kind of authentication makes");
  config::JwtAuthentication svid = Trusting();
  svid.trust_domain = "prod.example";
  EXPECT_EQ(made.Judge("spiffe", svid), "spiffe://prod.example/ns/shop/sa/checkout");
  names.erase("spiffe");

  EXPECT_EQ(names.size(), 5U);
  for (const std::string& name : names) {
    EXPECT_EQ(name.find("refused-"), 0U) << name;
    EXPECT_EQ(made.Judge(name).find("the token"), 0U) << name;
  }
}

TEST(Interoperation, TakesTheTokensThatOpensslsCommandLineMakes) {
  const Made made("bash " + kScripts + "interop_openssl.sh");
  EXPECT_EQ(made.Names().size(), 7U);
  for (const std::string& name : made.Names()) EXPECT_EQ(made.Judge(name), "ci:builder") << name;
}

}  // namespace
}  // namespace tokend::identity
