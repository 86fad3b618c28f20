#include "daemon/rpc/message_reader.h"

#include "daemon/rpc/bounds.h"
#include "daemon/rpc/frame_head.h"

namespace tokend::rpc {

void MessageReader::Append(std::string_view bytes) {
  if (problem_ != Problem::kNone) return;
  buffer_.append(bytes);
  Judge();
}

bool MessageReader::HasMessage() const {
  return buffer_.size() >= kFrameHeadBytes && buffer_.size() >= FirstSize();
}

std::string MessageReader::Take() {
  const std::size_t size = FirstSize();
  std::string message = buffer_.substr(kFrameHeadBytes, size - kFrameHeadBytes);
  buffer_.erase(0, size);
  Judge();
  return message;
}

bool MessageReader::HasMoreThanOne() const { return HasMessage() && buffer_.size() > FirstSize(); }

std::size_t MessageReader::Missing() const {
  if (buffer_.size() < kFrameHeadBytes || HasMessage()) return 0;
  return FirstSize() - buffer_.size();
}

// With its head.
std::size_t MessageReader::FirstSize() const { return kFrameHeadBytes + MessageBytes(buffer_); }

void MessageReader::Judge() {
  if (buffer_.size() < kFrameHeadBytes) return;
  if (buffer_[0] != 0) problem_ = buffer_[0] == 1 ? Problem::kCompressed : Problem::kBadHead;
  if (buffer_[0] == 0 && MessageBytes(buffer_) > bounds::kMaxMessageBytes) problem_ = Problem::kTooLarge;
  if (problem_ != Problem::kNone) Drop();
}

}  // namespace tokend::rpc
