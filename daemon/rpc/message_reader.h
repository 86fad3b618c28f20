#pragma once

#include <cstddef>
#include <string>
#include <string_view>

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
  void Append(std::string_view bytes);

  bool HasMessage() const;

  // Takes out the next message, without its prefix. HasMessage() must be true.
  std::string TakeMessage();

  // Discards all bytes.
  void Clear() { std::string().swap(buffer_); }

  // Whether the bytes are a message that is not complete.
  bool HasPart() const { return !buffer_.empty() && !HasMessage(); }

  // Whether there are bytes after the first message.
  bool HasMoreThanOne() const;

  // How many bytes of the next message are missing. Zero if its prefix is not complete.
  std::size_t MissingBytes() const;

  // How many bytes are stored.
  std::size_t size() const { return buffer_.size(); }

  Problem problem() const { return problem_; }

 private:
  std::size_t NextSize() const;  // of the next message, with its prefix
  void CheckPrefix();

  std::string buffer_;
  Problem problem_ = Problem::kNone;
};

}  // namespace tokend::rpc
