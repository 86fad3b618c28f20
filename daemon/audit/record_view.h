#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "daemon/audit/record_line.h"
#include "tokend/audit/v1/record.pb.h"

namespace tokend::audit {

// A record as its line says it, with the fields of the schema. Its texts are views of what a LineParser
// holds, so that no text is copied.
struct RecordView {
  struct Caller {
    std::string_view name;
    std::string_view authentication;
    std::string_view listener;
    std::string_view peer;
    std::string_view on_behalf_of;

    bool operator==(const Caller&) const = default;
  };
  struct Target {
    std::string_view organization;
    std::string_view application;
    std::vector<std::string_view> scopes;
    std::string_view description;

    bool operator==(const Target&) const = default;
  };
  struct Upstream {
    std::uint64_t http_status = 0;
    std::int64_t error_code = 0;
    std::uint64_t latency_us = 0;
    std::uint64_t key_generation = 0;

    bool operator==(const Upstream&) const = default;
  };
  struct Token {
    std::string_view id;
    std::string_view organization;
    std::string_view application;
    std::string_view fingerprint;
    std::string_view fingerprint_key;

    bool operator==(const Token&) const = default;
  };

  std::uint64_t seq = 0;
  RecordTime time{};
  std::string_view event;
  std::string_view request_id;
  std::uint64_t intent = 0;
  std::uint64_t resolves = 0;
  Caller caller;
  std::string_view digest;
  std::string_view trace;
  Target target;
  std::string_view grant;
  std::string_view config;
  Upstream upstream;
  Token token;
  std::string_view reason;
  std::string_view detail;
  std::uint64_t count = 0;
  std::string_view signature;
  std::string_view prev;
};

// Copies the record. A part without a field that is set is left out.
v1::Record ToRecord(const RecordView& view);

}  // namespace tokend::audit
