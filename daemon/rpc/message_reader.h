#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tokend::rpc {

// Takes a stream's bytes apart into gRPC's length-prefixed messages. A message that is refused is refused by
// its five-byte head, and holds no memory from then on. One thread at a time.
class MessageReader {
 public:
  enum class Problem {
    kNone,
    kTooLarge,    // longer than bounds::kMaxMessageBytes
    kCompressed,  // which this server does not take; nothing was inflated
    kBadHead,     // neither compressed nor not
  };

  // Takes bytes as they arrive. They are dropped once there is a problem.
  void Append(std::string_view bytes);

  bool HasMessage() const;

  // The next message, without its head. HasMessage must hold.
  std::string Take();

  // Forgets what is held.
  void Drop() { std::string().swap(buffer_); }

  // Whether there are bytes that no whole message holds.
  bool HasPart() const { return !buffer_.empty() && !HasMessage(); }

  // Whether there is anything after the first message.
  bool HasMoreThanOne() const;

  // How many bytes the message under way still needs; zero until its head is known.
  std::size_t Missing() const;

  // Bytes held.
  std::size_t size() const { return buffer_.size(); }

  Problem problem() const { return problem_; }

 private:
  std::size_t FirstSize() const;
  void Judge();

  std::string buffer_;
  Problem problem_ = Problem::kNone;
};

}  // namespace tokend::rpc
