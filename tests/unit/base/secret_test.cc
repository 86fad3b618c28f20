#include "daemon/base/secret.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <ostream>
#include <string>
#include <type_traits>

namespace tokend {
namespace {

template <class T>
concept Streams = requires(std::ostream& out, const T& value) {
  out << value;
};
template <class T>
concept Compares = requires(const T& value) {
  value == value;
};

template <class T>
constexpr bool kGuarded =
    !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
    !std::is_convertible_v<T, std::string> && !std::is_convertible_v<T, std::string_view> &&
    !std::is_convertible_v<std::string, T> && !Streams<T> && !Compares<T>;

TEST(Secret, CannotBeCopiedPrintedComparedOrConverted) {
  EXPECT_TRUE(kGuarded<Secret>);
  EXPECT_TRUE(kGuarded<ApiKey>);
  EXPECT_TRUE(kGuarded<Bearer>);
  EXPECT_FALSE((std::is_convertible_v<ApiKey, Bearer>));
}

TEST(Secret, FailingTestPrintsRedacted) {
  EXPECT_EQ(testing::PrintToString(Bearer("canary")), "[redacted]");
  EXPECT_EQ(testing::PrintToString(ApiKey("canary")), "[redacted]");
}

TEST(Secret, MoveLeavesNothingBehind) {
  Secret first("canary");
  Secret second(std::move(first));
  EXPECT_EQ(second.Expose(), "canary");
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is the promise
  first = std::move(second);
  EXPECT_EQ(first.Expose(), "canary");
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
}

// Looks at a block of memory at the moment when it is given back.
const void* watched = nullptr;
std::size_t watched_size = 0;
bool given_back = false;
bool held_canary = false;

void Watch(const Secret& secret) {
  watched = secret.Expose().data();
  watched_size = secret.size();
  given_back = held_canary = false;
}

TEST(Secret, IsWipedBeforeItsMemoryIsGivenBack) {
  {
    const Secret secret("canary-canary-canary");
    Watch(secret);
  }
  EXPECT_TRUE(given_back);
  EXPECT_FALSE(held_canary);
}

TEST(Secret, IsWipedWhereItGrew) {
  Secret secret("canary-canary-canary");
  Watch(secret);
  secret.Reserve(4096);
  EXPECT_TRUE(given_back);
  EXPECT_FALSE(held_canary);
}

TEST(Secret, IsWipedWhenAssignedOver) {
  Secret secret("canary-canary-canary");
  Watch(secret);
  secret = Secret("another");
  EXPECT_TRUE(given_back);
  EXPECT_FALSE(held_canary);
}

}  // namespace
}  // namespace tokend

[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

[[gnu::noinline]] void operator delete(void* memory) noexcept {
  if (memory != nullptr && memory == tokend::watched) {
    tokend::given_back = true;
    const auto* bytes = static_cast<const char*>(memory);
    tokend::held_canary = std::any_of(bytes, bytes + tokend::watched_size, [](char c) { return c != 0; });
    tokend::watched = nullptr;
  }
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
