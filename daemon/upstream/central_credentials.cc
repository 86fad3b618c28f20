#include "daemon/upstream/central_credentials.h"

#include <openssl/crypto.h>
#include <sys/stat.h>

#include <initializer_list>
#include <string_view>
#include <utility>

#include "daemon/base/certificates.h"
#include "daemon/base/key_file.h"
#include "daemon/base/read_file.h"
#include "daemon/config/contents.h"

namespace tokend::upstream {
namespace {

constexpr char kCaKey[] = "upstream.tokend.tls.ca_file";
constexpr char kCertificateKey[] = "upstream.tokend.tls.certificate_file";
constexpr char kPrivateKeyKey[] = "upstream.tokend.tls.private_key_file";
constexpr char kTokenKey[] = "upstream.tokend.token_file";

constexpr std::chrono::seconds kLookApart{1};

// A file with one line that holds the token.
constexpr std::size_t kMaxTokenFile = kMaxKeyBytes + 2;

Status Of(const std::string& file, const Status& status) {
  return {status.code(), file + " " + std::string(status.message())};
}

// Keeps a digest alone, because some of the texts are secret.
void AddDigest(std::string& digests, std::string_view bytes) { digests += Sha256Hex(bytes); }

Status ReadIdentity(const config::ClientTls& tls, CentralCredentials& into, std::string& digests) {
  const Result<std::string> chain = ReadCertificates(tls.certificate_file);
  if (!chain.ok()) return config::AtKey(kCertificateKey, chain.status());
  const Result<Secret> key = ReadBoundedFile(tls.private_key_file, kMaxPemBytes, Secrecy::kSecret);
  if (!key.ok()) return config::AtKey(kPrivateKeyKey, key.status());
  auto identity = std::make_shared<loop::TlsIdentity>();
  if (const Status set = identity->SetChain(*chain); !set.ok()) {
    return config::AtKey(kCertificateKey, Of(tls.certificate_file, set));
  }
  if (const Status set = identity->SetPrivateKey(*key); !set.ok()) {
    return config::AtKey(kPrivateKeyKey, Of(tls.private_key_file, set));
  }
  AddDigest(digests, *chain);
  AddDigest(digests, key->Expose());
  into.identity = std::move(identity);
  return absl::OkStatus();
}

Status ReadToken(const std::string& file, CentralCredentials& into, std::string& digests) {
  const Result<Secret> contents = ReadBoundedFile(file, kMaxTokenFile);
  if (!contents.ok()) return config::AtKey(kTokenKey, contents.status());
  std::string_view text = contents->Expose();
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  Result<Secret> token = MakeKey(file, text);
  if (!token.ok()) return config::AtKey(kTokenKey, token.status());
  AddDigest(digests, token->Expose());
  into.token = std::make_shared<const Secret>(*std::move(token));
  return absl::OkStatus();
}

}  // namespace

Result<CentralCredentials> ReadCentralCredentials(const config::TokendUpstream& options) {
  CentralCredentials read;
  if (options.plaintext) return read;
  std::string digests;
  if (!options.tls.ca_file.empty()) {
    const Result<std::string> authorities = ReadCertificates(options.tls.ca_file);
    if (!authorities.ok()) return config::AtKey(kCaKey, authorities.status());
    AddDigest(digests, *authorities);
  }
  if (!options.tls.certificate_file.empty()) {
    if (const Status status = ReadIdentity(options.tls, read, digests); !status.ok()) return status;
  }
  if (!options.token_file.empty()) {
    if (const Status status = ReadToken(options.token_file, read, digests); !status.ok()) return status;
  }
  read.digest = Sha256(digests);
  return read;
}

CentralCredentialFiles::CentralCredentialFiles(config::TokendUpstream options, CentralCredentials credentials)
    : options_(std::move(options)), current_(std::move(credentials)) {}

void CentralCredentialFiles::RereadIfChanged(TimePoint now) {
  if (options_.plaintext || now - looked_ < kLookApart) return;
  looked_ = now;
  Reread();
}

void CentralCredentialFiles::Reread() {
  if (options_.plaintext) return;
  // This comes before the files are read, so that the next call sees a change in between.
  std::vector<State> states = StatesOfFiles();
  if (states == states_) return;
  Result<CentralCredentials> read = ReadCentralCredentials(options_);
  if (!read.ok()) return;
  states_ = std::move(states);
  if (read->digest == current_.digest) return;
  current_ = *std::move(read);
  ++generation_;
}

std::vector<CentralCredentialFiles::State> CentralCredentialFiles::StatesOfFiles() const {
  std::vector<State> states;
  const config::ClientTls& tls = options_.tls;
  for (const std::string* file :
       {&tls.ca_file, &tls.certificate_file, &tls.private_key_file, &options_.token_file}) {
    struct stat status {};
    if (file->empty() || stat(file->c_str(), &status) != 0) status = {};
    states.emplace_back(status.st_dev, status.st_ino, status.st_size, status.st_ctim.tv_sec,
                        status.st_ctim.tv_nsec);
  }
  return states;
}

}  // namespace tokend::upstream
