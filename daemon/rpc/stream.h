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

// One HTTP/2 stream: the request as far as it has come, and the answer as far as it is not yet sent. The
// session fills and sends it; who uses the session may derive from it. One thread.
class Stream {
 public:
  explicit Stream(StreamId id) : id_(id) {}
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  StreamId id() const { return id_; }

  // The request.
  const RequestHead& head() const { return head_; }
  bool has_head() const { return has_head_; }    // all of it
  bool has_ended() const { return has_ended_; }  // the client sends no more
  const MessageReader& messages() const { return messages_; }

  // The answer.
  bool is_finished() const { return finished_; }              // its status is known
  std::size_t queued_bytes() const { return queued_bytes_; }  // of its messages

  // Whether the client may give the stream up now without having done so for nothing: its deadline has come.
  virtual bool IsOverdue(std::chrono::steady_clock::time_point now) const = 0;

 private:
  friend class Session;

  const StreamId id_;
  RequestHead head_;
  MessageReader messages_;
  std::size_t held_bytes_ = 0;  // of both
  bool has_head_ = false;
  bool has_ended_ = false;

  std::int64_t window_ = 0;         // what the client may still send
  std::size_t window_wanted_ = 0;   // what it needs beyond that, and waits for
  std::size_t window_granted_ = 0;  // of the session's pool

  std::vector<WipedBytes> outgoing_;  // messages with their heads
  std::size_t outgoing_sent_ = 0;     // of the first
  std::size_t queued_bytes_ = 0;
  CallStatus status_;
  bool finished_ = false;
  bool answering_ = false;  // the answer's header is submitted
  bool end_sent_ = false;   // and its end is sent
};

}  // namespace tokend::rpc
