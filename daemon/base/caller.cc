#include "daemon/base/caller.h"

namespace tokend {

std::string_view Name(Authentication authentication) {
  switch (authentication) {
    case Authentication::kNone:
      return "none";
    case Authentication::kUnix:
      return "unix";
    case Authentication::kMtls:
      return "mtls";
    case Authentication::kJwt:
      return "jwt";
  }
  return "none";
}

}  // namespace tokend
