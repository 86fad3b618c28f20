#include <signal.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <map>
#include <stdexcept>
#include <utility>

#include "tests/fakes/fake_applivery.h"

namespace {

using tokend::fakes::Counts;
using tokend::fakes::FakeApplivery;
using tokend::fakes::FakeAppliveryOptions;
using tokend::fakes::Fault;
using tokend::fakes::Protocol;
using tokend::fakes::Transport;

struct Flags {
  std::uint16_t port = 0;
  std::string key_file;
  std::string ca_out;
  std::string certificate_file;
  std::string private_key_file;
  std::string address_out;
  bool plain = false;
  std::vector<Protocol> protocols = {Protocol::kHttp2, Protocol::kHttp1};
  std::uint32_t max_concurrent_streams = 256;
  std::uint32_t delay_ms = 0;
  std::vector<std::string> faults;
};

void Declare(CLI::App& app, Flags& flags) {
  app.add_option("--port", flags.port, "0: any free port");
  app.add_option("--key-file", flags.key_file, "API keys, one on each line")
      ->required()
      ->check(CLI::ExistingFile);
  auto* ca_out = app.add_option("--ca-out", flags.ca_out, "The file for the CA of a new certificate");
  auto* certificate = app.add_option("--certificate-file", flags.certificate_file)->check(CLI::ExistingFile);
  auto* private_key = app.add_option("--private-key-file", flags.private_key_file)->check(CLI::ExistingFile);
  certificate->needs(private_key)->excludes(ca_out);
  private_key->needs(certificate);
  const std::map<std::string, Protocol> names = {{"h2", Protocol::kHttp2}, {"http/1.1", Protocol::kHttp1}};
  auto* protocols = app.add_option("--protocols", flags.protocols,
                                   "The offered protocols, such as h2,http/1.1, the preferred one first");
  protocols->delimiter(',')->transform(CLI::CheckedTransformer(names));
  app.add_flag("--plain", flags.plain, "Serve http:// with HTTP/1.1")
      ->excludes(ca_out)
      ->excludes(certificate)
      ->excludes(protocols);
  app.add_option("--max-concurrent-streams", flags.max_concurrent_streams,
                 "The limit for each HTTP/2 connection");
  app.add_option("--delay-ms", flags.delay_ms, "The delay of every answer without a fault");
  app.add_option("--fault", flags.faults, "APP=KIND[:ARG]: the fault for every request for the application");
  app.add_option("--address-out", flags.address_out, "The file for the base URL");
  app.footer("Kinds of fault:\n" + tokend::fakes::FaultKinds());
}

std::vector<std::string> ReadKeys(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> keys;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) keys.push_back(line);
  }
  if (keys.empty()) throw std::runtime_error("the key file holds no key");
  return keys;
}

void AddFaults(FakeApplivery& fake, const std::vector<std::string>& faults) {
  for (const std::string& text : faults) {
    const std::size_t equals = text.find('=');
    const std::optional<Fault> fault =
        equals == std::string::npos ? std::nullopt : Fault::Parse(std::string_view(text).substr(equals + 1));
    if (!fault) throw std::runtime_error("--fault takes APP=KIND[:ARG]; --help lists the kinds");
    fake.Script(text.substr(0, equals), {*fault}, tokend::fakes::ScriptEnd::kRepeatLast);
  }
}

int Run(const Flags& flags) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  FakeAppliveryOptions options;
  options.port = flags.port;
  options.api_keys = ReadKeys(flags.key_file);
  options.transport = flags.plain ? Transport::kPlain : Transport::kTls;
  options.protocols = flags.protocols;
  options.certificate_file = flags.certificate_file;
  options.private_key_file = flags.private_key_file;
  options.ca_file = flags.ca_out;
  options.max_concurrent_streams = flags.max_concurrent_streams;
  options.delay = std::chrono::milliseconds(flags.delay_ms);
  options.max_remembered = 0;  // the program may run for days
  FakeApplivery fake(std::move(options));
  AddFaults(fake, flags.faults);

  if (!flags.address_out.empty()) {
    std::ofstream file(flags.address_out);
    file << fake.base_url() << std::endl;
    if (!file) throw std::runtime_error("cannot write the address");
  }
  std::cout << "listening " << fake.base_url() << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);

  fake.Stop();
  const Counts counts = fake.counts();
  std::cout << "{\"posts\":" << counts.posts << ",\"tokens\":" << counts.tokens
            << ",\"connections\":" << counts.connections << ",\"stray_requests\":" << counts.stray_requests
            << "}" << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A stand-in for Applivery's \"add new token\" on 127.0.0.1, for trials and tests.");
  Flags flags;
  Declare(app, flags);
  CLI11_PARSE(app, argc, argv);
  try {
    return Run(flags);
  } catch (const std::runtime_error& error) {
    std::cerr << "fake-applivery: " << error.what() << std::endl;
    return 1;
  }
}
