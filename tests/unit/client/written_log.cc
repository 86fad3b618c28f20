#include "tests/unit/client/written_log.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "daemon/audit/audit_log.h"
#include "daemon/audit/chain.h"
#include "daemon/audit/fingerprint.h"
#include "daemon/audit/log_names.h"
#include "daemon/audit/signature.h"
#include "daemon/base/sha256.h"
#include "tests/fakes/hand_cranked_loop.h"

namespace tokend::client {
namespace {

constexpr std::size_t kMaxKept = 10'000;

void MakeKeys(const std::string& private_file, const std::string& public_file) {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  FILE* file = std::fopen(private_file.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  file = std::fopen(public_file.c_str(), "w");
  PEM_write_PUBKEY(file, key);
  std::fclose(file);
  EVP_PKEY_free(key);
}

audit::Record RecordOf(std::size_t seq, const audit::Fingerprinter& fingerprinter) {
  // Intents and their ends alternate.
  const std::size_t first = seq - 1 + seq % 2;
  audit::Record record;
  record.set_event(seq % 2 == 1 ? audit::event::kTokenIntended : audit::event::kTokenIssued);
  const std::string number = std::to_string(first);
  record.set_request_id("018f3b2a-0000-7000-8000-" + std::string(12 - number.size(), '0') + number);
  record.mutable_caller()->set_name("spiffe://prod.example/ns/shop/sa/caller-" + std::to_string(first % 7));
  record.mutable_caller()->set_authentication("mtls");
  record.mutable_caller()->set_listener("cluster");
  record.mutable_caller()->set_peer("ipv4:10.0.0.7:4711");
  record.mutable_target()->set_organization("acme");
  record.mutable_target()->set_application("ios-app");
  record.mutable_target()->add_scopes("sdk");
  record.mutable_target()->set_description("nightly \"build\" " + number);
  record.set_grant("mobile-ci");
  if (seq % 2 == 1) return record;
  record.set_intent(seq - 1);
  record.mutable_upstream()->set_http_status(200);
  record.mutable_upstream()->set_latency_us(84123);
  record.mutable_token()->set_id("5f0c1a2b3c4d5e6f7a8b9c0d");
  record.mutable_token()->set_fingerprint(fingerprinter.Of(Bearer(WrittenLog::BearerOf(seq))));
  return record;
}

}  // namespace

WrittenLog::WrittenLog(const Options& options) {
  MakeKeys(*this / "signing.pem", public_key());
  std::filesystem::permissions(*this / "signing.pem", std::filesystem::perms::owner_read);
  std::ofstream(fingerprint_key()) << std::string(32, 'k');
  const auto signer = audit::Signer::FromFile(*this / "signing.pem");
  const auto fingerprinter = audit::Fingerprinter::FromFile(fingerprint_key());
  if (!signer.ok() || !fingerprinter.ok()) std::abort();

  const audit::LogNames names("audit.jsonl");
  fakes::FakeClock clock;
  audit::Chain chain({}, "0123456789abcdef", clock);
  std::ofstream file;
  const std::size_t a_file = options.records / options.files + 1;
  for (std::size_t seq = 1; seq <= options.records; ++seq) {
    if ((seq - 1) % a_file == 0) {
      const bool open = seq + a_file > options.records;
      files_.push_back(*this / (open ? names.open() : names.CloseAs(seq, {})));
      file = std::ofstream(files_.back());
    }
    clock.Advance(std::chrono::milliseconds(3));
    audit::Record record;
    if (seq % options.checkpoint_every == 0 || seq == options.records) {
      record.set_event(audit::event::kCheckpoint);
      record.set_signature(signer->Sign(seq, chain.head().hash));
      anchors_.push_back(std::to_string(seq) + ":" + chain.head().hash);
    } else {
      record = RecordOf(seq, *fingerprinter);
    }
    std::string line = chain.Add(record);
    file << line << '\n';
    if (options.records <= kMaxKept) lines_.push_back(std::move(line));
  }
}

std::string WrittenLog::head() const { return Sha256Hex(lines_.back()); }

std::string WrittenLog::Write(const std::string& name, const std::vector<std::string>& lines) const {
  const std::string path = *this / name;
  std::ofstream file(path);
  for (const std::string& line : lines) file << line << '\n';
  return path;
}

}  // namespace tokend::client
