#include "daemon/state/redis/arguments.h"

#include <algorithm>

#include "daemon/base/form.h"

namespace tokend::state {
namespace {

using std::chrono::ceil;
using std::chrono::duration_cast;
using std::chrono::microseconds;

// 71 years: sums of such times stay exact in Lua.
constexpr microseconds kLongestTolerance{std::int64_t{1} << 51U};

// How long a call without a deadline waits for its turn at most.
constexpr std::chrono::hours kLongestWait{24};

std::string HexOf(const LimitKey& key) {
  return Hex({reinterpret_cast<const char*>(key.data()), key.size()});
}

void AppendRate(const Rate& rate, std::vector<std::string>& arguments) {
  const auto interval = ceil<microseconds>(rate.interval());
  std::int64_t tolerance = 0;
  if (__builtin_mul_overflow(interval.count(), rate.burst() - 1, &tolerance)) {
    tolerance = kLongestTolerance.count();
  }
  arguments.push_back(ToArgument(interval));
  arguments.push_back(ToArgument(std::min(microseconds(tolerance), kLongestTolerance)));
}

}  // namespace

std::string ToArgument(microseconds duration) { return std::to_string(duration.count()); }
std::string ToArgument(RedisTime time) { return ToArgument(time.time_since_epoch()); }

std::string_view BytesOf(const RequestDigest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string OrganizationOf(const Charges& charges) {
  return charges.organization_name.empty() ? "-" : charges.organization_name;
}

void AppendCharges(const std::vector<Charge>& charges, std::vector<std::string>& arguments) {
  arguments.push_back(std::to_string(charges.size()));
  for (const Charge& charge : charges) {
    arguments.push_back(HexOf(charge.key));
    AppendRate(charge.rate, arguments);
  }
}

void AppendCharges(const Charges& charges, std::vector<std::string>& arguments) {
  AppendCharges(charges.own, arguments);
  AppendCharges(charges.organization, arguments);
}

void AppendCall(std::uint64_t waiter, const Charges& charges, std::chrono::nanoseconds patience,
                std::vector<std::string>& arguments) {
  patience = std::min<std::chrono::nanoseconds>(patience, kLongestWait);
  arguments.insert(arguments.end(),
                   {std::to_string(waiter), OrganizationOf(charges), HexOf(KeyOf({charges.caller})),
                    ToArgument(duration_cast<microseconds>(patience))});
  AppendCharges(charges, arguments);
}

}  // namespace tokend::state
