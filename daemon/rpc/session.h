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

// A server's side of one HTTP/2 connection that carries gRPC (grpc/grpc, doc/PROTOCOL-HTTP2.md): bytes in,
// bytes out. It does no I/O and looks at no clock. nghttp2 reads and writes the frames; the bounds that it
// does not have are held here (bounds.h). One thread.
class Session {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The connection. Receive and Produce call it once nghttp2 has processed the bytes, so it may call the
  // session.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual std::unique_ptr<Stream> MakeStream(StreamId id) = 0;
    // The request has got further: its head, another part of a message, its end.
    virtual void OnProgress(Stream& stream) = 0;
    // The client or the server has ended the stream. It is destroyed once this returns.
    virtual void OnEnd(Stream& stream) = 0;
  };

  // Begins with the server's SETTINGS. Both must outlive this. Throws std::bad_alloc.
  Session(Owner& owner, TimePoint now);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Takes bytes from the client.
  void Receive(std::string_view bytes, TimePoint now);

  // Appends to `out` what the client shall get, up to about 48 KiB.
  void Produce(WipedBytes& out, TimePoint now);

  // Why the connection must end at once: a bound that the client passed, or a rule of HTTP/2 that it broke.
  std::optional<CloseCause> fault() const;
  // Whether so many streams ended before their answer that the client shall have no more.
  bool resets_spent() const { return guard_.resets_spent(); }
  // Whether nghttp2 has no more to do with the client.
  bool IsDone() const;

  // Answers without gRPC, by an HTTP status alone.
  void AnswerHttp(Stream& stream, int http_status);
  // Queues a message, which must have its head.
  void Send(Stream& stream, WipedBytes message);
  // Ends the answer once its messages are sent.
  void Finish(Stream& stream, CallStatus status);
  // Ends the stream as it is.
  void Reset(Stream& stream);
  // Takes the next message of a request. The client may then send as much again, where it sends several.
  std::string TakeMessage(Stream& stream);
  void ReopenWindow(Stream& stream);
  // Forgets what nobody asks for any more: of the request's head all but its timeout.
  void DropHead(Stream& stream);

  // Asks whether the client is there. `answered_pings` counts the answers.
  void Ping();
  std::uint64_t pings() const { return pings_; }
  std::uint64_t answered_pings() const { return answered_pings_; }

  // The first of two GOAWAY: the client shall begin no more streams, and those that it begins are served.
  void AnnounceGoAway();
  // The second: streams that begin from here on are left unprocessed. Those before it go on.
  void GoAway(std::uint32_t error_code);
  // Ends all streams, and the session.
  void Terminate(std::uint32_t error_code);

  // Whether the client has said by a GOAWAY that it begins no more streams.
  bool client_leaves() const { return client_leaves_; }

  bool settings_received() const { return settings_received_; }
  bool settings_acknowledged() const { return settings_acknowledged_; }
  std::size_t streams() const { return streams_.size(); }
  // Bytes that are held of requests, and of answers.
  std::size_t held_bytes() const { return held_bytes_; }
  std::size_t queued_answer_bytes() const { return queued_answer_bytes_; }
  std::size_t queued_frames() const { return nghttp2_session_get_outbound_queue_size(session_); }

  // Calls `each(Stream&)` for every open stream. It may not end one.
  template <class Each>
  void ForEach(Each each) {
    for (auto& [id, stream] : streams_) each(*stream);
  }
  Stream* Find(StreamId id);

 private:
  struct Callbacks;
  friend struct Callbacks;

  void OnHead(const nghttp2_frame& frame);
  int OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  void OnFrame(const nghttp2_frame& frame);
  void OnData(StreamId id, std::string_view bytes);
  void OnClose(StreamId id);
  void OnSent(const nghttp2_frame& frame);
  ssize_t ReadAnswer(StreamId id, std::size_t size, std::uint32_t& flags);
  int SendAnswer(StreamId id, const std::uint8_t* frame_head, std::size_t size);

  void Take(std::string_view bytes);
  void TellProgress();
  void TellEnds();
  void Progressed(Stream& stream);
  void CountHeld(Stream& stream);
  void DropRequest(Stream& stream);
  void WantWindow(Stream& stream);
  void GrantWindows();
  void ReturnWindow(Stream& stream);
  void BeginAnswer(Stream& stream);
  void SubmitTrailers(Stream& stream);
  void Resume(const Stream& stream);
  void EndCutOff();
  void Fail(CloseCause cause);

  Owner& owner_;
  nghttp2_session* session_ = nullptr;
  TimePoint now_;
  IdleResetFilter idle_resets_;
  FloodGuard guard_;
  std::optional<CloseCause> fault_;

  absl::flat_hash_map<StreamId, std::unique_ptr<Stream>> streams_;
  std::vector<StreamId> progressed_;
  std::vector<std::unique_ptr<Stream>> closed_;
  std::vector<StreamId> cut_off_;  // answered in full before their request's end
  StreamId head_stream_ = 0;       // whose header block nghttp2 does not ignore
  StreamId last_served_ = std::numeric_limits<StreamId>::max();  // as the GOAWAY says

  std::vector<StreamId> window_queue_;  // streams that wait for a window, the oldest first
  std::size_t window_pool_ = bounds::kWindowPool;
  std::size_t held_bytes_ = 0;
  std::size_t queued_answer_bytes_ = 0;

  WipedBytes* out_ = nullptr;  // while Produce runs
  bool client_leaves_ = false;
  bool settings_received_ = false;
  bool settings_acknowledged_ = false;
  std::uint64_t pings_ = 0;
  std::uint64_t answered_pings_ = 0;
};

}  // namespace tokend::rpc
