#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/state/charges.h"
#include "daemon/state/state.h"

// How the arguments of scripts are written.
namespace tokend::state {

std::string ToArgument(std::chrono::microseconds duration);
std::string ToArgument(RedisTime time);

std::string_view BytesOf(const RequestDigest& digest);

// An organization's name: "-" if charges name none.
std::string OrganizationOf(const Charges& charges);

// Charges as limits.lua reads them. Intervals and tolerances are rounded so that Redis never grants more than
// the limit says.
void AppendCharges(const Charges& charges, std::vector<std::string>& arguments);
void AppendCharges(const std::vector<Charge>& charges, std::vector<std::string>& arguments);

// A call as spending.lua reads it. `patience` is how long it can wait for its turn.
void AppendCall(std::uint64_t waiter, const Charges& charges, std::chrono::nanoseconds patience,
                std::vector<std::string>& arguments);

}  // namespace tokend::state
