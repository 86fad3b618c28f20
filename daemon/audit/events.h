#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "tokend/audit/v1/record.pb.h"

// Every event of the audit log, and what follows from it. The log, recovery and tokenctl read this table. A
// test holds the configurations of log shippers and the pages that list the events to it.
namespace tokend::audit {

struct Event {
  // What a record of the event is.
  enum class Role {
    kDaemon,   // says what the daemon itself did
    kRequest,  // ends a request before its intent
    kIntent,   // begins an attempt to create a token
    kEnd,      // ends an intent
    kReplay,   // hands out the token of an earlier request once more
  };
  // What became of the token of an intent.
  enum class Token {
    kNone,      // no token was created
    kIssued,    // the token was created, and its caller may have the bearer
    kWithheld,  // a token was created, and nobody can get its bearer
    kUnknown,   // a token may have been created
  };

  const char* name;
  Role role;
  Token token = Token::kNone;  // of a record that ends an intent

  // Whether somebody must look for the token in Applivery's dashboard: `tokenctl audit unresolved` lists it.
  constexpr bool unresolved() const { return token == Token::kWithheld || token == Token::kUnknown; }

  constexpr operator const char*() const { return name; }       // NOLINT: stands for its name
  constexpr operator std::string_view() const { return name; }  // NOLINT
  friend constexpr bool operator==(std::string_view text, const Event& event) { return text == event.name; }
};

namespace event {
inline constexpr Event kDaemonStarted{"daemon.started", Event::Role::kDaemon};
inline constexpr Event kDaemonStopped{"daemon.stopped", Event::Role::kDaemon};
inline constexpr Event kCheckpoint{"checkpoint", Event::Role::kDaemon};
inline constexpr Event kConfigReloaded{"config.reloaded", Event::Role::kDaemon};
inline constexpr Event kConfigRejected{"config.rejected", Event::Role::kDaemon};
inline constexpr Event kKeyReloaded{"key.reloaded", Event::Role::kDaemon};
inline constexpr Event kKeyRejected{"key.rejected", Event::Role::kDaemon};
inline constexpr Event kAuditRecovered{"audit.recovered", Event::Role::kDaemon};
inline constexpr Event kRequestInvalid{"request.invalid", Event::Role::kRequest};
inline constexpr Event kRequestUnauthenticated{"request.unauthenticated", Event::Role::kRequest};
inline constexpr Event kRequestDenied{"request.denied", Event::Role::kRequest};
inline constexpr Event kRequestLimited{"request.limited", Event::Role::kRequest};
inline constexpr Event kRequestFailed{"request.failed", Event::Role::kRequest};
inline constexpr Event kRequestValidated{"request.validated", Event::Role::kRequest};
inline constexpr Event kTokenIntended{"token.intended", Event::Role::kIntent};
inline constexpr Event kTokenIssued{"token.issued", Event::Role::kEnd, Event::Token::kIssued};
inline constexpr Event kTokenRefused{"token.refused", Event::Role::kEnd, Event::Token::kNone};
inline constexpr Event kTokenWithheld{"token.withheld", Event::Role::kEnd, Event::Token::kWithheld};
inline constexpr Event kTokenUnknown{"token.unknown", Event::Role::kEnd, Event::Token::kUnknown};
inline constexpr Event kTokenReplayed{"token.replayed", Event::Role::kReplay};
}  // namespace event

inline constexpr std::array kEvents{&event::kDaemonStarted,  &event::kDaemonStopped,
                                    &event::kCheckpoint,     &event::kConfigReloaded,
                                    &event::kConfigRejected, &event::kKeyReloaded,
                                    &event::kKeyRejected,    &event::kAuditRecovered,
                                    &event::kRequestInvalid, &event::kRequestUnauthenticated,
                                    &event::kRequestDenied,  &event::kRequestLimited,
                                    &event::kRequestFailed,  &event::kRequestValidated,
                                    &event::kTokenIntended,  &event::kTokenIssued,
                                    &event::kTokenRefused,   &event::kTokenWithheld,
                                    &event::kTokenUnknown,   &event::kTokenReplayed};

// The event that has this name, or null: a log may be of another version.
constexpr const Event* FindEvent(std::string_view name) {
  for (const Event* event : kEvents) {
    if (name == *event) return event;
  }
  return nullptr;
}

// The role of the record's event, or nothing where the event is not in the table.
inline std::optional<Event::Role> RoleOf(const v1::Record& record) {
  const Event* const event = FindEvent(record.event());
  return event != nullptr ? std::optional(event->role) : std::nullopt;
}

}  // namespace tokend::audit
