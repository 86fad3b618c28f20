#pragma once

#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <cstddef>

#include "daemon/base/secret.h"
#include "daemon/rpc/frame_head.h"

namespace tokend::rpc {

// A message as it goes over the wire, with its head, in memory that is wiped.
inline WipedBytes Framed(const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  WipedBytes bytes(kFrameHeadBytes + size);
  const auto head = FrameHead(size);
  std::copy(head.begin(), head.end(), bytes.begin());
  message.SerializeToArray(bytes.data() + kFrameHeadBytes, static_cast<int>(size));
  return bytes;
}

}  // namespace tokend::rpc
