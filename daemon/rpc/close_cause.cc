#include "daemon/rpc/close_cause.h"

#include <array>
#include <cstddef>

namespace tokend::rpc {
namespace {

struct Row {
  std::string_view name;
  bool suspicious;
};

// In the order of the enumeration.
constexpr std::array<Row, kCloseCauses> kRows = {{
    {"client", false},        {"transport", false},
    {"handshake", false},     {"handshake_timeout", false},
    {"handshake_rate", true}, {"settings_timeout", true},
    {"protocol", true},       {"header_block", true},
    {"held_requests", true},  {"resets", true},
    {"control_frames", true}, {"ignored_bytes", true},
    {"unread_answers", true}, {"keepalive", false},
    {"no_caller", false},     {"share", true},
    {"idle", false},          {"age", false},
    {"certificate", false},   {"drain", false},
}};

}  // namespace

std::string_view Name(CloseCause cause) { return kRows[static_cast<std::size_t>(cause)].name; }
bool IsSuspicious(CloseCause cause) { return kRows[static_cast<std::size_t>(cause)].suspicious; }

}  // namespace tokend::rpc
