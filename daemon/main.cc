// tokend: flags, then configuration, then app::Run.
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/app/daemon.h"
#include "daemon/app/settings.h"
#include "daemon/app/signals.h"
#include "daemon/base/process.h"
#include "daemon/loop/curl_loop.h"
#include "daemon/telemetry/log.h"

namespace {

using namespace tokend;  // NOLINT: this is the program, not a header

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kBadUsage = 2;

void Say(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::cerr << line << "\n";
}

int Check(const std::string& path, bool print) {
  const auto read = app::ReadSettings(path, nullptr);
  if (const auto* rejection = std::get_if<app::Rejection>(&read)) {
    Say(rejection->errors);
    Say(rejection->warnings);
    return kBadUsage;
  }
  const config::Config& config = std::get<app::Settings>(read).config;
  Say(config.warnings);
  if (print) std::cout << config.effective << std::flush;
  return std::cout.good() ? kDone : kFailed;
}

int Serve(const std::string& path) {
  google::protobuf::SetLogHandler(nullptr);  // its messages quote what it parses
  app::BlockSignals();
  RaiseDescriptorLimit();
  loop::CurlLoop loop;
  // Before there are other threads: reading a key from the environment overwrites it there.
  auto read = app::ReadSettings(path, &loop);
  if (const auto* rejection = std::get_if<app::Rejection>(&read)) {
    Say(rejection->errors);
    return kBadUsage;
  }
  auto& settings = std::get<app::Settings>(read);

  telemetry::StartLog(settings.config.log);
  const Status status = app::Run(path, std::move(settings), loop);
  if (!status.ok())
    telemetry::Log(config::LogLevel::kError, "failed", {{"detail", std::string(status.message())}});
  telemetry::StopLog();
  return status.ok() ? kDone : kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli("Mints Applivery integration tokens for callers that never see the API key.", "tokend");
  cli.set_version_flag("--version", "tokend " TOKEND_VERSION);
  cli.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return "tokend: " + CLI::FailureMessage::simple(failed, error);
  });
  std::string path;
  auto* serve_config = cli.add_option("--config", path, "the configuration to serve by")->type_name("FILE");
  cli.require_subcommand(0, 1);

  CLI::App* check = cli.add_subcommand("check", "judge a configuration without starting");
  bool print = false;
  check->add_option("--config", path, "the configuration to judge")->type_name("FILE")->required();
  check->add_flag("--print", print, "print the effective configuration, without secrets");

  try {
    cli.parse(argc, argv);
    if (!check->parsed() && serve_config->empty()) throw CLI::RequiredError("--config");
    if (Status hardened = HardenProcess(); !hardened.ok()) {
      std::cerr << "tokend: " << hardened.message() << "\n";
      return kFailed;
    }
    return check->parsed() ? Check(path, print) : Serve(path);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? kDone : kBadUsage;
  } catch (const std::exception&) {
    std::cerr << "tokend: out of memory, threads or descriptors; raise the limits of the process\n";
    telemetry::StopLog();
    return kFailed;
  }
}
