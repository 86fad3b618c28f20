#pragma once

#include <nghttp2/nghttp2.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "daemon/base/secret.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/close_cause.h"
#include "daemon/rpc/flood_guard.h"
#include "daemon/rpc/idle_reset_filter.h"
#include "daemon/rpc/stream.h"

namespace tokend::rpc {

// The server's side of one HTTP/2 connection that carries gRPC (grpc/grpc, doc/PROTOCOL-HTTP2.md). It turns
// bytes into requests and answers into bytes, without I/O and without a clock. nghttp2 parses and writes the
// frames. The session adds the limits that nghttp2 lacks (bounds.h). One thread.
//
// Flow control. HTTP/2 limits how much a client may send: by a window for each stream, and by one for the
// connection. Both shrink by what the client sends and grow by WINDOW_UPDATE frames of the server (RFC
// 9113, 5.2).
// - The connection's window is reopened at once. It does not limit memory; the streams' windows and
//   bounds::kMaxHeldRequestBytes do.
// - A stream begins with a small window (bounds::kStreamWindow). The prefix of a longer message tells how
//   much is missing. The stream then waits in a queue, gets all of that at once from the connection's pool
//   (bounds::kWindowPool), and returns it when the message is taken or the stream closes. As the pool is
//   larger than the longest message, the first stream of the queue always gets its window in the end.
// - A method that takes several messages gets the small window again after each of them.
class Session {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The owner makes the streams and is notified of their progress. Receive and Produce notify it after
  // nghttp2 has returned, so it may call the session's functions except Receive and Produce.
  class Owner {
   public:
    virtual ~Owner() = default;
    // Called while nghttp2 runs: it may not call the session.
    virtual std::unique_ptr<Stream> MakeStream(StreamId id) = 0;
    // The request's header, a part of a message or the end of the request has arrived.
    virtual void OnProgress(Stream& stream) = 0;
    // The stream was closed, by the client or the server. It is destroyed after this.
    virtual void OnEnd(Stream& stream) = 0;
  };

  // Queues the server's SETTINGS. The owner must outlive this. Throws std::bad_alloc.
  Session(Owner& owner, TimePoint now);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Processes bytes from the client.
  void Receive(std::string_view bytes, TimePoint now);

  // Appends the bytes to send to `out`, up to about 48 KiB.
  void Produce(WipedBytes& out, TimePoint now);

  // Why the connection must be closed: the client has exceeded a limit or violated HTTP/2. Nothing: it need
  // not be.
  std::optional<CloseCause> fault() const;
  // Whether so many streams closed before their answer was sent that the client should begin no more streams.
  bool resets_exceeded() const { return guard_.resets_exceeded(); }
  // Whether nghttp2 wants neither to read nor to write any more.
  bool IsDone() const;

  // Answers with an HTTP status only: for requests that are not gRPC.
  void AnswerHttp(Stream& stream, int http_status);
  // Queues a message, with its prefix.
  void Send(Stream& stream, WipedBytes message);
  // Ends the answer after the queued messages.
  void Finish(Stream& stream, CallStatus status);
  // Closes the stream now, with RST_STREAM.
  void Reset(Stream& stream);
  // Takes the next complete message of the request out of the stream.
  std::string TakeMessage(Stream& stream);
  // Reopens the stream's window to bounds::kStreamWindow, for another message.
  void RestoreWindow(Stream& stream);
  // Frees the texts of the request's header.
  void ReleaseHead(Stream& stream);

  // Queues a PING. `answered_pings` counts the answers.
  void Ping() {
    ++pings_;
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  }
  std::uint64_t pings() const { return pings_; }
  std::uint64_t answered_pings() const { return answered_pings_; }

  // The first GOAWAY: it asks the client to begin no more streams. Streams that it begins nevertheless are
  // served, since they may have been on their way.
  void AnnounceGoAway() { nghttp2_submit_shutdown_notice(session_); }
  // The second GOAWAY: it tells the last stream that is served. Later streams are refused; the client can
  // safely repeat their calls on another connection.
  void GoAway(std::uint32_t error_code);
  // Closes all streams and the session.
  void Terminate(std::uint32_t error_code) { nghttp2_session_terminate_session(session_, error_code); }

  // Whether the client has sent a GOAWAY, so that it begins no more streams.
  bool client_sent_goaway() const { return client_sent_goaway_; }

  bool settings_received() const { return settings_received_; }
  bool settings_acknowledged() const { return settings_acknowledged_; }
  std::size_t streams() const { return streams_.size(); }
  // Memory for requests that were not taken by TakeMessage and ReleaseHead, and for answers that are not
  // produced.
  std::size_t held_bytes() const { return held_bytes_; }
  std::size_t queued_answer_bytes() const { return queued_answer_bytes_; }
  std::size_t queued_frames() const { return nghttp2_session_get_outbound_queue_size(session_); }

  // Calls `each(Stream&)` for every open stream. `each` may not call Receive or Produce.
  template <class Each>
  void ForEach(Each each) {
    for (auto& [id, stream] : streams_) each(*stream);
  }
  Stream* Find(StreamId id);

 private:
  struct Callbacks;

  void OnFrameHead(const nghttp2_frame_hd& head);
  void OnHead(const nghttp2_frame& frame);
  int OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  void OnFrame(const nghttp2_frame& frame);
  void OnData(StreamId id, std::string_view bytes);
  void OnClose(StreamId id);
  void OnSent(const nghttp2_frame& frame);
  ssize_t ReadAnswer(StreamId id, std::size_t size, std::uint32_t& flags);
  int SendAnswer(StreamId id, const std::uint8_t* frame_head, std::size_t size);

  void Parse(std::string_view bytes);
  void NotifyEnds();
  void QueueProgress(Stream& stream);
  void UpdateHeldBytes(Stream& stream);
  void ReleaseRequest(Stream& stream);
  void RequestWindow(Stream& stream);
  void GrantWindows();
  void ReleaseWindow(Stream& stream);
  void Resume(const Stream& stream);
  void Fail(CloseCause cause);
  void CheckInvariants(const Stream& stream) const;

  Owner& owner_;
  nghttp2_session* session_ = nullptr;
  TimePoint now_;
  IdleResetFilter idle_resets_;
  FloodGuard guard_;
  std::optional<CloseCause> fault_;

  absl::flat_hash_map<StreamId, std::unique_ptr<Stream>> streams_;
  std::vector<StreamId> progressed_;             // the owner is to be notified of these
  std::vector<std::unique_ptr<Stream>> closed_;  // and of these
  std::vector<StreamId> answered_early_;         // their answer is sent, their request is not complete
  StreamId head_stream_ = 0;                     // the stream whose header block nghttp2 reports; 0: none
  StreamId last_accepted_ = std::numeric_limits<StreamId>::max();  // of the second GOAWAY

  std::vector<StreamId> window_queue_;  // streams that wait for a part of the pool, the oldest first
  std::size_t window_pool_ = bounds::kWindowPool;  // what no stream has taken
  std::size_t held_bytes_ = 0;
  std::size_t queued_answer_bytes_ = 0;

  WipedBytes* out_ = nullptr;  // the output of Produce while it runs
  bool client_sent_goaway_ = false;
  bool settings_received_ = false;
  bool settings_acknowledged_ = false;
  std::uint64_t pings_ = 0;
  std::uint64_t answered_pings_ = 0;
};

}  // namespace tokend::rpc
