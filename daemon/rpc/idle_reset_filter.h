#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tokend::rpc {

// Takes RST_STREAM frames of streams that were never begun out of what a client sends. gRPC's C++ library
// (seen in 1.51) sends one for a call that it cancels before it has written the call's HEADERS. By RFC 9113,
// 5.1, that is the end of the connection, and nghttp2 ends it with all its calls. One thread at a time.
class IdleResetFilter {
 public:
  // Calls `pass(std::string_view)` with the rest of the bytes, in order: those of a frame's head once all of
  // it has come, any others at once. Returns how many frames were taken out.
  template <class Pass>
  std::size_t Filter(std::string_view bytes, Pass pass) {
    std::size_t dropped = 0;
    std::size_t from = 0;  // what is before it has been passed or dropped
    const auto pass_until = [&](std::size_t end) {
      if (end > from) pass(bytes.substr(from, end - from));
      from = end;
    };
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t begin = at;
      if (left_ > 0) {
        at += Advance(bytes.size() - at);
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
  static constexpr std::size_t kHeadBytes = 9;  // of a frame (RFC 9113, 4.1)
  static constexpr std::size_t kResetBytes = 4;

  std::size_t Advance(std::size_t at_most) {
    const std::size_t bytes = std::min(left_, at_most);
    left_ -= bytes;
    return bytes;
  }

  // A frame begins. True: it shall be dropped.
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

  std::size_t left_ = NGHTTP2_CLIENT_MAGIC_LEN;  // of the frame's payload; at first of the preface
  bool drops_ = false;                           // the frame
  std::string head_;                             // of the next frame, as far as it has come
  std::uint32_t last_begun_ = 0;                 // of the streams
};

}  // namespace tokend::rpc
