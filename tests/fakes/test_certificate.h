#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace tokend::fakes {

struct TestCertificate {
  std::string ca_pem;
  std::string certificate_pem;
  std::string private_key_pem;
};

struct TestSubject {
  std::vector<std::string> hosts;  // names and IP addresses, as subject alternative names; empty: none
  std::string common_name = "tokend test server";
  std::chrono::seconds from{-3600};  // both counted from now
  std::chrono::seconds until = std::chrono::hours(24 * 365);
};

// Makes a CA, valid for a year, and a server certificate issued by it. Throws std::runtime_error if OpenSSL
// fails.
TestCertificate MakeTestCertificate(const TestSubject& subject);

}  // namespace tokend::fakes
