#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tokend::rpc {

// Removes RST_STREAM frames of streams that the client has never begun from the client's bytes. gRPC's C++
// library (seen in 1.51) sends such a frame when a call is cancelled before its HEADERS are written. By RFC
// 9113, 5.1 this is a connection error, so nghttp2 would close the connection with all its calls. One thread
// at a time.
class IdleResetFilter {
 public:
  // Calls `pass(std::string_view)` with the remaining bytes, in order. The header of a frame is held back
  // until it is complete, all other bytes are passed at once. Returns how many frames were removed.
  template <class Pass>
  std::size_t Filter(std::string_view bytes, Pass pass) {
    std::size_t dropped = 0;
    std::size_t from = 0;  // the bytes before it are passed or removed
    const auto pass_until = [&](std::size_t end) {
      if (end > from) pass(bytes.substr(from, end - from));
      from = end;
    };
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t begin = at;
      if (left_ > 0) {
        const std::size_t size = std::min(left_, bytes.size() - at);
        left_ -= size;
        at += size;
        if (drops_) from = at;
        continue;
      }
      const std::size_t size = std::min(kHeadBytes - head_.size(), bytes.size() - at);
      at += size;
      if (size == kHeadBytes) {
        if (!Begin(bytes.substr(begin, size))) continue;
        pass_until(begin);
        from = at;
        ++dropped;
        continue;
      }
      pass_until(begin);
      from = at;
      head_.append(bytes.substr(begin, size));
      if (head_.size() < kHeadBytes) break;
      if (Begin(head_)) {
        ++dropped;
      } else {
        pass(head_);
      }
      head_.clear();
    }
    pass_until(bytes.size());
    return dropped;
  }

 private:
  static constexpr std::size_t kHeadBytes = 9;  // the size of a frame's header (RFC 9113, 4.1)
  static constexpr std::size_t kResetBytes = 4;

  // Reads a frame's header. True if the frame must be removed.
  bool Begin(std::string_view head) {
    const auto byte = [head](std::size_t at) { return std::uint32_t{static_cast<std::uint8_t>(head[at])}; };
    left_ = byte(0) << 16U | byte(1) << 8U | byte(2);
    const std::uint32_t type = byte(3);
    const std::uint32_t stream = (byte(5) & 0x7FU) << 24U | byte(6) << 16U | byte(7) << 8U | byte(8);
    if (type == NGHTTP2_HEADERS) last_begun_ = std::max(last_begun_, stream);
    const bool is_clients = stream % 2 == 1;
    drops_ = type == NGHTTP2_RST_STREAM && left_ == kResetBytes && is_clients && stream > last_begun_;
    return drops_;
  }

  // Bytes that are left of the current frame's payload; at first, of the connection's preface.
  std::size_t left_ = NGHTTP2_CLIENT_MAGIC_LEN;
  bool drops_ = false;            // the current frame is removed
  std::string head_;              // the part of the next frame's header that has arrived
  std::uint32_t last_begun_ = 0;  // the highest stream that the client has begun
};

}  // namespace tokend::rpc
