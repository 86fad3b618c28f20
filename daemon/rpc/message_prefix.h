#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <string_view>

// The five bytes before each gRPC message: a byte that is 1 if the message is compressed, and its length as a
// big-endian 32-bit number.
namespace tokend::rpc {

inline constexpr std::size_t kMessagePrefixBytes = 5;

// The message's length. `prefix` must have at least kMessagePrefixBytes bytes.
inline std::size_t MessageSize(std::string_view prefix) {
  assert(prefix.size() >= kMessagePrefixBytes);
  std::size_t bytes = 0;
  for (std::size_t i = 1; i < kMessagePrefixBytes; ++i)
    bytes = bytes << 8U | static_cast<unsigned char>(prefix[i]);
  return bytes;
}

// The prefix of an uncompressed message.
inline std::array<char, kMessagePrefixBytes> MessagePrefix(std::size_t message_bytes) {
  return {0, static_cast<char>(message_bytes >> 24U & 0xFFU), static_cast<char>(message_bytes >> 16U & 0xFFU),
          static_cast<char>(message_bytes >> 8U & 0xFFU), static_cast<char>(message_bytes & 0xFFU)};
}

}  // namespace tokend::rpc
