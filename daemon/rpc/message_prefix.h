#pragma once

#include <array>
#include <cstddef>
#include <string_view>

// The five bytes before each gRPC message: a flag that says whether it is compressed, and its length.
namespace tokend::rpc {

inline constexpr std::size_t kFrameHeadBytes = 5;

// The length that a head tells, which must be whole.
inline std::size_t MessageBytes(std::string_view head) {
  std::size_t bytes = 0;
  for (std::size_t i = 1; i < kFrameHeadBytes; ++i) bytes = bytes << 8U | static_cast<unsigned char>(head[i]);
  return bytes;
}

// The head of a message that is not compressed.
inline std::array<char, kFrameHeadBytes> FrameHead(std::size_t message_bytes) {
  return {0, static_cast<char>(message_bytes >> 24U & 0xFFU), static_cast<char>(message_bytes >> 16U & 0xFFU),
          static_cast<char>(message_bytes >> 8U & 0xFFU), static_cast<char>(message_bytes & 0xFFU)};
}

}  // namespace tokend::rpc
