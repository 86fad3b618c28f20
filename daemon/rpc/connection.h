#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/secret.h"
#include "daemon/base/tcp_listener.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/call_handler.h"
#include "daemon/rpc/close_cause.h"
#include "daemon/rpc/routes.h"
#include "daemon/rpc/session.h"
#include "daemon/rpc/timers.h"
#include "daemon/rpc/transport.h"
#include "daemon/telemetry/metrics.h"

namespace tokend::rpc {

class Connection;

// What the connections of one listener share. It outlives them.
struct ConnectionContext {
  const Routes& routes;
  telemetry::Metrics& metrics;
  std::shared_ptr<Mailbox> mailbox;
  const bounds::Times times;
  TimerQueue timers = {};
  WipedBytes read_buffer = WipedBytes(std::size_t{16} * 1024);
  WipedBytes write_buffer = {};
  // The sums of request_bytes() and answer_bytes() of all connections.
  std::size_t request_bytes = 0;
  std::size_t answer_bytes = 0;
  // Connections whose Flush is due, in order. Each is in it at most once.
  std::vector<Connection*> to_flush = {};
  // Whether the connection itself identifies a caller that the listener knows, by client certificate or Unix
  // user.
  std::function<bool(const Peer&)> identifies_caller = {};
};

// One connection of a client. It owns the socket, the transport (plain or TLS), the HTTP/2 session, and
// through the session the streams, which are the calls. Listener thread only.
//
// The listener calls OnReady when the socket is ready. All output is written by Flush, which the listener
// calls at the end of each pass of its loop for the connections that have asked for it (ScheduleFlush). The
// connection never destroys itself: the listener removes it once is_closed() is true.
//
// A connection ends in one of three ways. The gentle way is Retire: a first GOAWAY asks the client to begin
// no more streams, and a second one, after a PING round trip, tells which stream was the last. Calls that run
// are served until they end or their time is up. Close sends what is already queued and discards the client's
// input for a moment, since closing a socket with unread input would make the kernel reset the connection,
// and the client could lose the last answer. CloseAtOnce does neither.
class Connection final : public Session::Owner {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The socket must be non-blocking.
  Connection(ConnectionContext& context, std::uint64_t id, Descriptor socket,
             std::unique_ptr<Transport> transport, Peer peer);
  ~Connection() override;

  // The socket is ready: `events` are of epoll(7). During the handshake this makes one step of it.
  void OnReady(std::uint32_t events);
  // Writes pending output and continues calls that have waited for capacity.
  void Flush();

  // Begins to close the connection gently. For kDrain, calls that arrive after the second GOAWAY was due are
  // refused with SHUTTING_DOWN.
  void Retire(CloseCause cause);
  // Ends all calls, each with a status, and then the connection. It is closed by `deadline`.
  void Stop(TimePoint deadline);
  // Cancels all calls, sends the output that is already queued, and closes the connection.
  void Close(CloseCause cause);
  // Cancels all calls and closes the connection without sending anything.
  void CloseAtOnce(CloseCause cause);

  std::uint64_t id() const { return id_; }
  int socket() const { return socket_.get(); }
  const Peer& peer() const { return peer_; }
  TimePoint accepted_at() const { return accepted_at_; }
  bool is_handshaking() const { return stage_ == Stage::kHandshake; }
  bool is_open() const { return stage_ == Stage::kHandshake || stage_ == Stage::kOpen; }
  bool is_closed() const { return stage_ == Stage::kClosed; }
  bool is_caller_known() const { return is_caller_known_; }
  bool has_had_calls() const { return has_had_calls_; }
  bool has_calls() const { return session_ && session_->streams() > 0; }
  std::optional<CloseCause> cause() const { return cause_; }  // nothing while it is open
  const std::string& handshake_error() const { return handshake_error_; }
  const std::string& refused_subject() const { return refused_subject_; }  // of the client certificate
  // Memory for requests that no handler has taken, and for answers that are not written, as of the last
  // Flush.
  std::size_t request_bytes() const { return request_bytes_; }
  std::size_t answer_bytes() const { return answer_bytes_; }

  // The events to wait for: EPOLLIN, EPOLLOUT.
  std::uint32_t interest() const;
  // Whether OnReady must be called again even if the socket does not become ready.
  bool has_pending_work() const;

 private:
  class Call;

  // A connection goes through these in order and may skip some. SetStage asserts the steps.
  enum class Stage {
    kHandshake,  // of TLS; a plain connection passes it at once
    kOpen,
    kFlushing,   // the last output is being written
    kLingering,  // all output is written, and the client's input is discarded
    kClosed,
  };

  // Session::Owner.
  std::unique_ptr<Stream> MakeStream(StreamId id) override;
  void OnProgress(Stream& stream) override;
  void OnEnd(Stream& stream) override;

  void SetStage(Stage next);
  void StepHandshake();
  void Open();
  void Read();
  void DiscardInput();
  bool Write();
  void ScheduleFlush();
  void UpdateHeldBytes();
  bool IsSliceOver() const;

  bool HasRoom() const;
  bool CanStartCall() const;
  void Dispatch(Call& call);
  void Start(Call& call);
  void DispatchWaiting();
  void EndCalls(bool streaming_only);
  void CancelCalls();

  void OnTimer();
  void ArmTimer();
  void CheckTimeouts(TimePoint now);
  void ContinueRetiring(TimePoint now);
  void CheckSession();
  void Fail(CloseCause cause);
  void FinishClosing();
  TimePoint ForcedEndOfCalls(CloseCause cause, TimePoint now) const;
  TimePoint CertificateNotice(TimePoint now) const;

  ConnectionContext& context_;
  const std::uint64_t id_;
  const Descriptor socket_;
  std::unique_ptr<Transport> transport_;
  Peer peer_;
  Stage stage_ = Stage::kHandshake;
  Timer timer_;
  std::unique_ptr<Session> session_;  // null during the handshake

  WipedBytes unsent_;         // output that the socket has not accepted yet
  bool wants_write_ = false;  // the socket's buffer is full
  bool flush_scheduled_ = false;
  std::size_t request_bytes_ = 0;
  std::size_t answer_bytes_ = 0;
  std::deque<StreamId> waiting_;  // calls that wait until answers are read, or for the next time slice
  std::size_t watches_ = 0;

  bool is_caller_known_ = false;
  bool has_had_calls_ = false;
  std::optional<CloseCause> cause_;
  std::string handshake_error_;
  std::string refused_subject_;

  // Retirement. Between the two GOAWAY the client gets notice: until it answers the PING after the first one,
  // or until notice_until_.
  std::optional<CloseCause> retiring_;
  bool notice_over_ = false;
  std::uint64_t notice_ping_ = 0;
  TimePoint notice_until_;
  TimePoint end_calls_at_;  // calls that still run are ended then

  const TimePoint accepted_at_;
  TimePoint opened_at_;
  TimePoint slice_began_;
  TimePoint last_read_;
  TimePoint last_call_;
  TimePoint blocked_since_;  // while wants_write_
  TimePoint close_by_;       // from kFlushing on
  std::optional<TimePoint> pinged_at_;
};

}  // namespace tokend::rpc
