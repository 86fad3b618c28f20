#pragma once

#include <string>
#include <vector>

namespace tokend::fakes {

struct TestCertificate {
  std::string ca_pem;
  std::string certificate_pem;
  std::string private_key_pem;
};

// Makes a CA and, issued by it, a server certificate for these host names and IP addresses. Both are valid
// for a year. Throws std::runtime_error if OpenSSL fails.
TestCertificate MakeTestCertificate(const std::vector<std::string>& hosts);

}  // namespace tokend::fakes
