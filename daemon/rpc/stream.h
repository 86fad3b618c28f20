#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "daemon/base/secret.h"
#include "daemon/rpc/message_reader.h"
#include "daemon/rpc/request_head.h"
#include "daemon/rpc/status.h"

namespace tokend::rpc {

using StreamId = std::int32_t;

// One HTTP/2 stream: the part of the request that has arrived, and the part of the answer that is not sent
// yet. The session owns it and changes it. The session's owner derives from it to add what it needs. One
// thread.
class Stream {
 public:
  explicit Stream(StreamId id) : id_(id) {}
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  StreamId id() const { return id_; }

  // The request.
  const RequestHead& head() const { return head_; }
  bool has_head() const { return has_head_; }    // the header is complete
  bool has_ended() const { return has_ended_; }  // the request is complete
  const MessageReader& messages() const { return messages_; }

  // The answer.
  bool is_finished() const { return finished_; }              // its status is set, or the stream was reset
  std::size_t queued_bytes() const { return queued_bytes_; }  // of messages that are not sent yet

  // Whether the call's deadline has come. A client that resets the stream then does nothing unusual.
  virtual bool IsOverdue(std::chrono::steady_clock::time_point now) const = 0;

 private:
  friend class Session;

  const StreamId id_;
  RequestHead head_;
  MessageReader messages_;
  std::size_t held_bytes_ = 0;  // memory of head_ and messages_, as counted in the session's sum
  bool has_head_ = false;
  bool has_ended_ = false;

  // Flow control of the request (session.h).
  std::int64_t window_ = 0;         // bytes that the client may still send; negative if it has sent too much
  std::size_t window_wanted_ = 0;   // not zero: it is in the session's queue for so many bytes of the pool
  std::size_t window_granted_ = 0;  // bytes that it has taken from the pool

  std::vector<WipedBytes> outgoing_;  // messages with their prefixes
  std::size_t outgoing_sent_ = 0;     // bytes of the first message that are sent
  std::size_t queued_bytes_ = 0;      // bytes of outgoing_ that are not sent
  CallStatus status_;
  bool finished_ = false;
  bool answering_ = false;  // the answer's header is submitted to nghttp2
  bool end_sent_ = false;   // the answer's END_STREAM is sent
};

}  // namespace tokend::rpc
