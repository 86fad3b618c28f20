#include "daemon/audit/chain.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/base/form.h"

namespace tokend::audit {

std::string Sha256(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return Hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Chain::Chain(Head head, std::string config, const loop::Clock& clock)
    : head_(std::move(head)), config_(std::move(config)), clock_(clock) {}

std::string Chain::Add(v1::Record& record) {
  const auto now = std::chrono::floor<std::chrono::microseconds>(clock_.WallNow());
  head_.time = std::max(head_.time, now);
  record.set_seq(++head_.sequence);
  SetTime(head_.time, record);
  if (record.config().empty()) record.set_config(config_);
  record.set_prev(std::move(head_.hash));
  std::string line = ToLine(record);
  head_.hash = Sha256(line);
  return line;
}

}  // namespace tokend::audit
