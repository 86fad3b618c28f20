#pragma once

#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <cstddef>

#include "daemon/base/secret.h"
#include "daemon/rpc/message_prefix.h"

namespace tokend::rpc {

// The message as gRPC sends it, with its prefix, in memory that is wiped when it is freed.
inline WipedBytes EncodeMessage(const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  WipedBytes bytes(kMessagePrefixBytes + size);
  const auto prefix = MessagePrefix(size);
  std::copy(prefix.begin(), prefix.end(), bytes.begin());
  message.SerializeToArray(bytes.data() + kMessagePrefixBytes, static_cast<int>(size));
  return bytes;
}

}  // namespace tokend::rpc
