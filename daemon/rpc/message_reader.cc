#include "daemon/rpc/message_reader.h"

#include <cassert>

#include "daemon/rpc/bounds.h"
#include "daemon/rpc/message_prefix.h"

namespace tokend::rpc {

void MessageReader::Append(std::string_view bytes) {
  if (problem_ != Problem::kNone) return;
  buffer_.append(bytes);
  CheckPrefix();
}

bool MessageReader::HasMessage() const {
  return buffer_.size() >= kMessagePrefixBytes && buffer_.size() >= NextSize();
}

std::string MessageReader::TakeMessage() {
  assert(HasMessage());
  const std::size_t size = NextSize();
  std::string message = buffer_.substr(kMessagePrefixBytes, size - kMessagePrefixBytes);
  buffer_.erase(0, size);
  CheckPrefix();
  return message;
}

bool MessageReader::HasMoreThanOne() const { return HasMessage() && buffer_.size() > NextSize(); }

std::size_t MessageReader::MissingBytes() const {
  if (buffer_.size() < kMessagePrefixBytes || HasMessage()) return 0;
  return NextSize() - buffer_.size();
}

std::size_t MessageReader::NextSize() const { return kMessagePrefixBytes + MessageSize(buffer_); }

void MessageReader::CheckPrefix() {
  if (buffer_.size() < kMessagePrefixBytes) return;
  if (buffer_[0] != 0) problem_ = buffer_[0] == 1 ? Problem::kCompressed : Problem::kBadPrefix;
  if (buffer_[0] == 0 && MessageSize(buffer_) > bounds::kMaxMessageBytes) problem_ = Problem::kTooLarge;
  if (problem_ != Problem::kNone) Clear();
}

}  // namespace tokend::rpc
