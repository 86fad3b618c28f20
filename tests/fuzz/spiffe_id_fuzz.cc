#include <cstddef>
#include <cstdint>
#include <string_view>

#include "daemon/identity/spiffe_id.h"
#include "tests/fuzz/check.h"

// An accepted SPIFFE ID of a workload has only one possible reading.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tokend::fuzz::Check;
  const std::string_view id(reinterpret_cast<const char*>(data), size);
  if (!tokend::identity::IsWorkloadSpiffeId(id)) return 0;
  Check(size <= 2048 && id.starts_with("spiffe://") && !id.ends_with('/'));
  const std::string_view rest = id.substr(9);
  const std::size_t slash = rest.find('/');
  Check(slash != std::string_view::npos && slash > 0 && slash <= 255);
  Check(rest.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/") ==
        std::string_view::npos);
  Check(rest.substr(0, slash).find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos);
  for (const char* never : {"//", "/./", "/../"}) Check(rest.find(never) == std::string_view::npos);
  Check(!rest.ends_with("/.") && !rest.ends_with("/.."));
  return 0;
}
