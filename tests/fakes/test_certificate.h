#pragma once

#include <string>
#include <vector>

namespace tokend::fakes {

struct TestCertificate {
  std::string ca_pem;
  std::string certificate_pem;
  std::string private_key_pem;
};

// A new CA, and a server certificate of it for these host names and IP addresses. Both hold for a year.
// Throws std::runtime_error where OpenSSL fails.
TestCertificate MakeTestCertificate(const std::vector<std::string>& hosts);

}  // namespace tokend::fakes
