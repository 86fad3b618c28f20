#pragma once

#include <google/protobuf/message_lite.h>

#include <cassert>
#include <cstddef>
#include <string_view>

#include "daemon/base/secret.h"

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

// The message as gRPC sends it, with its prefix, in memory that is wiped when it is freed.
inline WipedBytes EncodeMessage(const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  WipedBytes bytes(kMessagePrefixBytes + size);
  for (std::size_t i = 1; i < kMessagePrefixBytes; ++i) {
    bytes[i] = static_cast<char>(size >> 8U * (kMessagePrefixBytes - 1 - i) & 0xFFU);
  }
  message.SerializeToArray(bytes.data() + kMessagePrefixBytes, static_cast<int>(size));
  return bytes;
}

}  // namespace tokend::rpc
