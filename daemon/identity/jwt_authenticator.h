#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "daemon/config/config.h"
#include "daemon/identity/authenticator.h"
#include "daemon/identity/key_source.h"
#include "daemon/loop/event_loop.h"

namespace tokend::identity {

// Names the caller by the JSON Web Token in its "authorization: Bearer …" metadata. The token must have the
// configured issuer and audience, be within its time, and be signed by a key of the issuer. Any thread.
class JwtAuthenticator final : public Authenticator {
 public:
  // How many verified tokens are remembered, so that each is verified once.
  static constexpr std::size_t kMaxCachedTokens = 10000;

  // The clock must outlive this.
  JwtAuthenticator(std::string listener, config::JwtAuthentication configuration,
                   std::unique_ptr<KeySource> keys, const loop::Clock& clock);
  ~JwtAuthenticator() override;

  void Authenticate(Evidence evidence, Done done) const override;
  bool IsByConnection() const override { return false; }
  std::optional<FetchedKeys> fetched_keys() const override { return keys_->fetched(); }

  bool Does(const std::string& listener, const config::JwtAuthentication& configuration) const {
    return listener == listener_ && configuration == configuration_;
  }
  KeySource::Keys keys() const { return keys_->Current(); }

 private:
  class Judge;

  const std::string listener_;
  const config::JwtAuthentication configuration_;
  const std::shared_ptr<Judge> judge_;  // shared with the calls that wait for keys
  const std::unique_ptr<KeySource> keys_;
};

}  // namespace tokend::identity
