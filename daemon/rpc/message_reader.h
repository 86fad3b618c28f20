#pragma once

#include <cassert>
#include <cstddef>
#include <string>
#include <string_view>

#include "daemon/rpc/bounds.h"
#include "daemon/rpc/message_prefix.h"

namespace tokend::rpc {

// Splits the bytes of a stream into gRPC's length-prefixed messages. A message is refused as soon as its
// five-byte prefix is complete, and takes no memory after that. One thread at a time.
class MessageReader {
 public:
  enum class Problem {
    kNone,
    kTooLarge,    // longer than bounds::kMaxMessageBytes
    kCompressed,  // compressed messages are not supported
    kBadPrefix,   // the byte that says whether it is compressed is neither 0 nor 1
  };

  // Adds bytes of the stream. After a problem they are discarded.
  void Append(std::string_view bytes) {
    if (problem_ != Problem::kNone) return;
    buffer_.append(bytes);
    CheckPrefix();
  }

  bool HasMessage() const { return HasPrefix() && buffer_.size() >= NextSize(); }

  // Takes out the next message, without its prefix. HasMessage() must be true.
  std::string TakeMessage() {
    assert(HasMessage());
    const std::size_t size = NextSize();
    std::string message = buffer_.substr(kMessagePrefixBytes, size - kMessagePrefixBytes);
    buffer_.erase(0, size);
    CheckPrefix();
    return message;
  }

  // Discards all bytes.
  void Clear() { std::string().swap(buffer_); }

  // Whether the bytes are a message that is not complete.
  bool HasPart() const { return !buffer_.empty() && !HasMessage(); }

  // Whether there are bytes after the first message.
  bool HasMoreThanOne() const { return HasMessage() && buffer_.size() > NextSize(); }

  // How many bytes of the next message are missing. Zero if its prefix is not complete.
  std::size_t MissingBytes() const { return HasPrefix() && !HasMessage() ? NextSize() - buffer_.size() : 0; }

  // How many bytes are stored.
  std::size_t size() const { return buffer_.size(); }

  Problem problem() const { return problem_; }

 private:
  bool HasPrefix() const { return buffer_.size() >= kMessagePrefixBytes; }

  // The size of the next message, with its prefix.
  std::size_t NextSize() const { return kMessagePrefixBytes + MessageSize(buffer_); }

  void CheckPrefix() {
    if (!HasPrefix()) return;
    if (buffer_[0] != 0) problem_ = buffer_[0] == 1 ? Problem::kCompressed : Problem::kBadPrefix;
    if (buffer_[0] == 0 && MessageSize(buffer_) > bounds::kMaxMessageBytes) problem_ = Problem::kTooLarge;
    if (problem_ != Problem::kNone) Clear();
  }

  std::string buffer_;
  Problem problem_ = Problem::kNone;
};

}  // namespace tokend::rpc
