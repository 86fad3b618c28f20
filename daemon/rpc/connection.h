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
  // Bytes of requests that are held, and of answers that wait to be read, of all connections.
  std::size_t request_bytes = 0;
  std::size_t answer_bytes = 0;
  // Connections that have something to write or to tell, in order. Each is in it at most once.
  std::vector<Connection*> touched = {};
  // Whether the client's certificate, or where none is asked for its socket, already shows a caller.
  std::function<bool(const Peer&)> shows_caller = {};
};

// One connection: its transport, its HTTP/2 session and its calls. On its listener's thread alone. The
// listener says when the socket is ready; the connection says when it is closed.
class Connection final : public Session::Owner {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Takes the socket over, which must be non-blocking.
  Connection(ConnectionContext& context, std::uint64_t id, int socket, std::unique_ptr<Transport> transport,
             Peer peer);
  ~Connection() override;

  // The socket has become ready, as epoll(7) says. During the handshake: one step of it.
  void OnReady(std::uint32_t events);
  // Writes what is to be written; goes on with calls that waited for room.
  void Flush();

  // Begins to end the connection in good order: two GOAWAY, with the calls between them served. With kDrain,
  // calls that come later nevertheless are refused as SHUTTING_DOWN.
  void Retire(CloseCause cause);
  // Ends all calls, each with a status, and then the connection, by `deadline`.
  void Stop(TimePoint deadline);
  // Ends the connection: writes the bytes that are already produced, and reads from the client for up to a
  // second, so that no reset loses them. Its calls get no answer any more.
  void Close(CloseCause cause);
  // Ends the connection at once, without writing.
  void CloseAtOnce(CloseCause cause);

  std::uint64_t id() const { return id_; }
  int socket() const { return socket_; }
  const Peer& peer() const { return peer_; }
  TimePoint began() const { return began_; }
  bool is_handshaking() const { return stage_ == Stage::kHandshake; }
  bool is_open() const { return stage_ == Stage::kHandshake || stage_ == Stage::kOpen; }
  bool is_closed() const { return stage_ == Stage::kClosed; }
  bool has_shown_caller() const { return has_shown_caller_; }
  bool has_had_calls() const { return has_had_calls_; }
  bool has_calls() const { return session_ && session_->streams() > 0; }
  std::optional<CloseCause> cause() const { return cause_; }
  const std::string& handshake_error() const { return handshake_error_; }
  std::size_t request_bytes() const { return request_bytes_; }
  std::size_t answer_bytes() const { return answer_bytes_; }

  // The events that the listener waits for: EPOLLIN, EPOLLOUT.
  std::uint32_t interest() const;
  // Whether OnReady is due although epoll reports nothing: TLS or waiting calls hold unprocessed input.
  bool has_more() const;

 private:
  class Call;
  friend class Call;

  enum class Stage {
    kHandshake,  // of TLS
    kOpen,
    kFlushing,   // the last bytes are written
    kLingering,  // input is read and dropped, so that no reset loses the last bytes
    kClosed,
  };

  // Session::Owner.
  std::unique_ptr<Stream> MakeStream(StreamId id) override;
  void OnProgress(Stream& stream) override;
  void OnEnd(Stream& stream) override;

  void StepHandshake();
  void Open();
  void Read();
  void Drop();
  bool Write();
  void Touch();
  void CountHeld();
  bool IsTurnOver() const;

  bool HasRoom() const;
  bool MayBegin() const;
  void Dispatch(Call& call);
  void DispatchWaiting();
  void EndCalls(bool streaming_only);
  void AbandonCalls();

  void OnTimer();
  void Schedule();
  void JudgeTimes(TimePoint now);
  void ContinueRetiring(TimePoint now);
  void CheckSession();
  void Fail(CloseCause cause);
  void FinishClosing();
  TimePoint EndOfCalls(CloseCause cause, TimePoint now) const;
  TimePoint CertificateNotice(TimePoint now) const;

  ConnectionContext& context_;
  const std::uint64_t id_;
  const int socket_;
  std::unique_ptr<Transport> transport_;
  Peer peer_;
  Stage stage_ = Stage::kHandshake;
  Timer timer_;
  std::unique_ptr<Session> session_;  // from the handshake's end on

  WipedBytes unsent_;  // that the socket did not take yet
  bool wants_write_ = false;
  bool touched_ = false;
  std::size_t request_bytes_ = 0;
  std::size_t answer_bytes_ = 0;
  std::deque<StreamId> waiting_;  // calls that wait until answers are read, or for the next turn
  std::size_t watches_ = 0;

  bool has_shown_caller_ = false;
  bool has_had_calls_ = false;
  std::optional<CloseCause> cause_;  // once it is closing
  std::string handshake_error_;

  std::optional<CloseCause> retiring_;
  bool notice_over_ = false;
  std::uint64_t notice_ping_ = 0;
  TimePoint notice_until_;
  TimePoint retired_by_;  // the calls that still run are ended then

  const TimePoint began_;
  TimePoint opened_;
  TimePoint turn_began_;
  TimePoint last_read_;
  TimePoint last_call_;
  TimePoint blocked_since_;  // while wants_write_
  TimePoint close_by_;       // from kFlushing on
  std::optional<TimePoint> pinged_at_;
};

}  // namespace tokend::rpc
