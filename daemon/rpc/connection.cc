#include "daemon/rpc/connection.h"

#include <openssl/crypto.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/form.h"
#include "daemon/rpc/wire_text.h"

namespace tokend::rpc {
namespace {

using Io = Transport::Io;
using TimePoint = Connection::TimePoint;

// If the client does not read and more frames than this wait for it, the server stops reading from it.
constexpr std::size_t kMaxQueuedFrames = 256;

constexpr int kUnsupportedMediaType = 415;
constexpr int kMethodNotAllowed = 405;

TimePoint Now() { return std::chrono::steady_clock::now(); }

CallStatus StatusOf(MessageReader::Problem problem) {
  switch (problem) {
    case MessageReader::Problem::kTooLarge:
      return {Code::kResourceExhausted, "the message is larger than 64 KiB"};
    case MessageReader::Problem::kCompressed:
      return {Code::kUnimplemented, "compressed messages are not supported; send the message uncompressed"};
    case MessageReader::Problem::kBadPrefix:
    case MessageReader::Problem::kNone:
      break;
  }
  return {Code::kInternal, "the message is malformed"};
}

std::uint32_t ErrorCodeOf(CloseCause cause) {
  return cause == CloseCause::kProtocol ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM;
}

}  // namespace

// A stream together with its handler.
class Connection::Call final : public Stream, public ServerCall {
 public:
  Call(Connection& connection, StreamId id, TimePoint now)
      : Stream(id),
        connection_(connection),
        arrived_(now),
        timer_(connection.context_.timers, [this] { OnTimer(); }) {
    timer_.Set(now + connection.context_.times.request);
  }

  // Checks the request's header and finds its method. If false, the call is already answered.
  bool Route() {
    if (head().IsTooLarge()) {
      Finish({Code::kResourceExhausted, "the metadata is larger than 16 KiB"});
      return false;
    }
    const bool is_grpc = IsGrpc(head().content_type);
    if (!is_grpc || head().method != "POST") {
      connection_.session_->AnswerHttp(*this, is_grpc ? kMethodNotAllowed : kUnsupportedMediaType);
      timer_.Set(Now() + connection_.context_.times.answer);
      handler_done_ = true;
      return false;
    }
    route_ = connection_.context_.routes.Find(head().path);
    if (route_ == nullptr) {
      Finish({Code::kUnimplemented, "no such method"});
      return false;
    }
    if (head().timeout) {
      deadline_ = arrived_ + *head().timeout;
      timer_.SetAtLatest(*deadline_);
    }
    const std::optional<Failure> malformed = head().Validate();
    if (route_->method->access == Method::Access::kAnyone && malformed) {
      Finish(ToStatus(*malformed, MakeUuid()));
      return false;
    }
    return true;
  }

  bool is_routed() const { return route_ != nullptr; }
  bool is_dispatched() const { return handler_ != nullptr; }
  bool is_unary() const { return route_->method->kind == Method::Kind::kUnary; }
  bool is_bidi() const { return route_->method->kind == Method::Kind::kBidiStreaming; }
  bool is_watch() const { return route_ != nullptr && route_->method == &kHealthWatch; }

  void StartHandler() { handler_ = route_->make_handler(*this); }
  // Gives the handler the complete messages, as long as it is ready and the connection has capacity.
  void DeliverMessages() {
    while (!handler_done_ && messages().HasMessage() && handler_->IsReady()) {
      if (!connection_.CanStartCall()) return WaitForCapacity();
      OnFirstMessage();
      handler_->OnMessage(connection_.session_->TakeMessage(*this));
      connection_.session_->ReleaseHead(*this);
      if (is_bidi()) connection_.session_->RestoreWindow(*this);
    }
    if (!handler_done_ && messages().problem() != MessageReader::Problem::kNone) {
      handler_->OnCancelled(Code::kCancelled);
      return Finish(StatusOf(messages().problem()));
    }
    const bool is_end = !handler_done_ && is_bidi() && has_ended() && !messages().HasMessage();
    if (is_end && handler_->IsReady() && !std::exchange(end_delivered_, true)) handler_->OnRequestEnd();
  }

  // Continues later, when the connection has room for answers and a new time slice.
  void WaitForCapacity() {
    if (!std::exchange(is_waiting_, true)) connection_.waiting_.push_back(id());
  }

  // The connection has checked its capacity. A second check could fail, and would put this call behind calls
  // that came after it.
  void Continue() {
    is_waiting_ = false;
    if (is_finished()) return;
    if (is_dispatched()) {
      DeliverMessages();
    } else {
      connection_.Start(*this);
    }
  }

  // The client gets no answer any more.
  void Cancel(Code why) {
    if (handler_done_) return;
    const bool was_call = route_ != nullptr;
    handler_done_ = true;
    timer_.Cancel();
    if (handler_) handler_->OnCancelled(why);
    if (was_call) RecordEnd(why);
  }

  void CancelForClient(TimePoint now) { Cancel(IsOverdue(now) ? Code::kDeadlineExceeded : Code::kCancelled); }
  // The daemon ends the call.
  void Stop() {
    if (handler_done_) return;
    handler_done_ = true;
    Finish(handler_ ? handler_->OnStop() : ToStatus({Reason::kShuttingDown}, MakeUuid()));
  }

  // The client counts its deadline from an earlier moment than this server, so it may give up a little
  // earlier: by at most a tenth of the time, and at most 50 ms.
  bool IsOverdue(TimePoint now) const override {
    constexpr std::chrono::milliseconds kMostAhead{50};
    if (!deadline_) return false;
    const auto ahead = std::min<std::chrono::nanoseconds>((*deadline_ - arrived_) / 10, kMostAhead);
    return now + ahead >= *deadline_;
  }

  // ServerCall.
  const RequestHead& head() const override { return Stream::head(); }
  const Peer& peer() const override { return connection_.peer_; }
  TimePoint arrived() const override { return arrived_; }
  std::optional<TimePoint> deadline() const override { return deadline_; }
  bool is_draining() const override {
    return connection_.retiring_ == CloseCause::kDrain && connection_.notice_over_;
  }
  const std::shared_ptr<Mailbox>& mailbox() const override { return connection_.context_.mailbox; }
  void MarkCallerKnown() override { connection_.is_caller_known_ = true; }
  void Resume() override {
    WaitForCapacity();
    connection_.ScheduleFlush();
  }

  void Send(WipedBytes message) override {
    if (queued_bytes() == 0) unread_since_ = Now();
    timer_.SetAtLatest(unread_since_ + connection_.context_.times.answer);
    connection_.session_->Send(*this, std::move(message));
    connection_.UpdateHeldBytes();
    connection_.ScheduleFlush();
  }

  void Finish(CallStatus status) override {
    if (is_finished()) return;
    RecordEnd(status.code);
    connection_.session_->Finish(*this, std::move(status));
    timer_.Set(Now() + connection_.context_.times.answer);
    connection_.ScheduleFlush();
  }

 private:
  void OnTimer() {
    const TimePoint now = Now();
    if (!is_finished() && deadline_ && now >= *deadline_) {
      Cancel(Code::kDeadlineExceeded);
      connection_.session_->Finish(*this, {Code::kDeadlineExceeded, "the call's deadline has passed"});
      timer_.Set(now + connection_.context_.times.answer);
    } else if (is_finished() ||
               (queued_bytes() > 0 && now >= unread_since_ + connection_.context_.times.answer)) {
      Cancel(Code::kCancelled);
      connection_.session_->Reset(*this);  // the client has not read its answer in time
    } else if (!has_had_message_) {
      if (handler_) handler_->OnCancelled(Code::kDeadlineExceeded);
      Finish({Code::kDeadlineExceeded,
              "the request did not arrive in time, or the client does not read its answers"});
    } else {
      if (deadline_) timer_.Set(*deadline_);
      if (queued_bytes() > 0) timer_.SetAtLatest(unread_since_ + connection_.context_.times.answer);
    }
    connection_.ScheduleFlush();
  }

  // The request has arrived in time. From now on the timer stands for the call's deadline.
  void OnFirstMessage() {
    if (std::exchange(has_had_message_, true)) return;
    timer_.Cancel();
    if (deadline_) timer_.Set(*deadline_);
  }

  void RecordEnd(Code code) {
    handler_done_ = true;
    connection_.context_.metrics.CallEnded(route_ != nullptr ? route_->method->name() : "", Name(code),
                                           Now() - arrived_);
  }

  Connection& connection_;
  const TimePoint arrived_;
  const Routes::Route* route_ = nullptr;
  std::optional<TimePoint> deadline_;
  std::shared_ptr<CallHandler> handler_;
  Timer timer_;
  TimePoint unread_since_;  // while answer messages are queued
  bool has_had_message_ = false;
  bool is_waiting_ = false;     // it is in the connection's `waiting_`
  bool end_delivered_ = false;  // OnRequestEnd was called
  bool handler_done_ = false;   // the handler must not be called any more
};

Connection::Connection(ConnectionContext& context, std::uint64_t id, Descriptor socket,
                       std::unique_ptr<Transport> transport, Peer peer)
    : context_(context),
      id_(id),
      socket_(std::move(socket)),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      timer_(context.timers, [this] { OnTimer(); }),
      accepted_at_(Now()) {
  ArmTimer();
}

Connection::~Connection() {
  assert(context_.answer_bytes >= answer_bytes_ && context_.request_bytes >= request_bytes_);
  context_.answer_bytes -= answer_bytes_;
  context_.request_bytes -= request_bytes_;
  session_.reset();
}

std::uint32_t Connection::interest() const {
  const bool reads =
      stage_ == Stage::kHandshake || stage_ == Stage::kLingering ||
      (stage_ == Stage::kOpen && !(wants_write_ && session_->queued_frames() > kMaxQueuedFrames));
  return (reads ? std::uint32_t{EPOLLIN} : 0U) | (wants_write_ ? std::uint32_t{EPOLLOUT} : 0U);
}

bool Connection::has_pending_work() const {
  const bool has_unread = (interest() & EPOLLIN) != 0 && transport_->HasBufferedInput();
  return stage_ == Stage::kOpen && (has_unread || (!waiting_.empty() && HasRoom()));
}

bool Connection::IsSliceOver() const { return Now() - slice_began_ >= bounds::kTimeSlice; }

void Connection::SetStage(Stage next) {
  assert(next > stage_ || next == Stage::kClosed);
  assert(session_ != nullptr || (next != Stage::kOpen && next != Stage::kFlushing));
  stage_ = next;
}

void Connection::OnReady(std::uint32_t events) {
  slice_began_ = Now();
  switch (stage_) {
    case Stage::kHandshake:
      return StepHandshake();
    case Stage::kOpen:
      DispatchWaiting();
      if ((events & ~std::uint32_t{EPOLLOUT}) != 0) Read();
      return ScheduleFlush();
    case Stage::kFlushing:
      return ScheduleFlush();
    case Stage::kLingering:
      return DiscardInput();
    case Stage::kClosed:
      return;
  }
}

void Connection::StepHandshake() {
  const Io io = transport_->Handshake();
  wants_write_ = io == Io::kWantWrite;
  if (io == Io::kDone) return Open();
  if (io == Io::kWantRead || io == Io::kWantWrite) return;
  handshake_error_ = transport_->HandshakeError();
  refused_subject_ = transport_->RefusedSubject();
  Close(CloseCause::kHandshake);
}

void Connection::Open() {
  Result<std::optional<ClientCertificate>> certificate = transport_->Certificate();
  if (!certificate.ok()) {
    handshake_error_ = std::string(certificate.status().message());
    return Close(CloseCause::kHandshake);
  }
  peer_.certificate = *std::move(certificate);
  opened_at_ = last_read_ = last_call_ = Now();
  session_ = std::make_unique<Session>(*this, opened_at_);
  SetStage(Stage::kOpen);
  is_caller_known_ = context_.identifies_caller(peer_);
  ArmTimer();
  Read();
  ScheduleFlush();
}

void Connection::Read() {
  for (bool is_first = true; stage_ == Stage::kOpen && (is_first || !IsSliceOver()); is_first = false) {
    std::size_t got = 0;
    const Io io = transport_->Read(context_.read_buffer.data(), context_.read_buffer.size(), got);
    if (io == Io::kWantRead || io == Io::kWantWrite) return;
    if (io != Io::kDone) {
      return CloseAtOnce(io == Io::kClosed ? CloseCause::kClient : CloseCause::kTransport);
    }
    last_read_ = Now();
    session_->Receive({context_.read_buffer.data(), got}, last_read_);
    OPENSSL_cleanse(context_.read_buffer.data(), got);
    CheckSession();
  }
}

void Connection::DiscardInput() {
  while (!IsSliceOver()) {
    const ssize_t got = recv(socket(), context_.read_buffer.data(), context_.read_buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return FinishClosing();
    OPENSSL_cleanse(context_.read_buffer.data(), static_cast<std::size_t>(got));
  }
}

void Connection::ScheduleFlush() {
  if (std::exchange(flush_scheduled_, true)) return;
  context_.to_flush.push_back(this);
}

void Connection::Flush() {
  absl::Cleanup flush_done = [this] { flush_scheduled_ = false; };
  if (!session_) return;
  do {
    DispatchWaiting();
    CheckSession();
  } while ((stage_ == Stage::kOpen || stage_ == Stage::kFlushing) && Write());
  UpdateHeldBytes();
  if (stage_ == Stage::kFlushing && !wants_write_) {
    transport_->SendCloseNotify();
    shutdown(socket(), SHUT_WR);
    SetStage(Stage::kLingering);
    close_by_ = Now() + context_.times.linger;
    ArmTimer();
  }
}

// Writes one portion of the output. False if there is no more output or the socket accepts no more.
bool Connection::Write() {
  WipedBytes& buffer = context_.write_buffer;
  if (unsent_.empty()) session_->Produce(buffer, Now());
  WipedBytes& bytes = unsent_.empty() ? buffer : unsent_;
  std::size_t sent = 0;
  Io io = Io::kDone;
  while (sent < bytes.size() && io == Io::kDone) {
    std::size_t written = 0;
    io = transport_->Write({bytes.data() + sent, bytes.size() - sent}, written);
    if (io == Io::kDone) sent += written;
  }
  const bool any = !bytes.empty();
  if (&bytes == &buffer) {
    if (sent < buffer.size())
      unsent_.assign(buffer.begin() + static_cast<std::ptrdiff_t>(sent), buffer.end());
    OPENSSL_cleanse(buffer.data(), buffer.size());
    buffer.clear();
  } else {
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(sent));
    if (unsent_.empty()) WipedBytes().swap(unsent_);
  }
  const bool waits = io == Io::kWantRead || io == Io::kWantWrite;
  if (waits && (!wants_write_ || sent > 0)) {
    blocked_since_ = Now();
    timer_.SetAtLatest(blocked_since_ + context_.times.answer);
  }
  wants_write_ = waits;
  if (!waits && io != Io::kDone) {
    CloseAtOnce(CloseCause::kTransport);
    return false;
  }
  return any && !waits;
}

void Connection::UpdateHeldBytes() {
  const std::size_t answers = session_->queued_answer_bytes() + unsent_.size();
  context_.answer_bytes += answers - answer_bytes_;
  answer_bytes_ = answers;
  const std::size_t requests = session_->held_bytes() + session_->streams() * bounds::kStreamBytes;
  context_.request_bytes += requests - request_bytes_;
  request_bytes_ = requests;
}

std::unique_ptr<Stream> Connection::MakeStream(StreamId id) {
  has_had_calls_ = true;
  return std::make_unique<Call>(*this, id, Now());
}

void Connection::OnProgress(Stream& stream) {
  auto& call = static_cast<Call&>(stream);
  if (stage_ != Stage::kOpen || call.is_finished() || !call.has_head()) return;
  if (!call.is_routed() && !call.Route()) return ScheduleFlush();
  if (call.is_dispatched()) {
    if (call.is_bidi()) call.DeliverMessages();
    return;
  }
  const MessageReader& messages = call.messages();
  if (messages.problem() != MessageReader::Problem::kNone) return call.Finish(StatusOf(messages.problem()));
  if (!call.is_bidi()) {
    if (messages.HasMoreThanOne()) return call.Finish({Code::kUnimplemented, "the method takes one message"});
    if (!call.has_ended()) return;
    if (messages.HasPart()) return call.Finish(StatusOf(MessageReader::Problem::kBadPrefix));
    if (!messages.HasMessage()) return call.Finish({Code::kUnimplemented, "the method takes a message"});
  }
  Dispatch(call);
}

bool Connection::HasRoom() const {
  return session_->queued_answer_bytes() + unsent_.size() < bounds::kMaxQueuedAnswerBytes;
}

// New calls wait while the client does not read its answers, and when the connection's time slice is used up.
bool Connection::CanStartCall() const { return HasRoom() && !IsSliceOver(); }

void Connection::Dispatch(Call& call) {
  if (!CanStartCall()) return call.WaitForCapacity();
  Start(call);
}

void Connection::Start(Call& call) {
  if (call.is_watch() && watches_ >= bounds::kMaxHealthWatches) {
    return call.Finish(ToStatus({Reason::kOverloaded}, MakeUuid()));
  }
  if (call.is_watch()) ++watches_;
  call.StartHandler();
  call.DeliverMessages();
}

void Connection::DispatchWaiting() {
  while (!waiting_.empty() && stage_ == Stage::kOpen && CanStartCall()) {
    auto* const call = static_cast<Call*>(session_->Find(waiting_.front()));
    waiting_.pop_front();
    if (call != nullptr) call->Continue();
  }
}

void Connection::OnEnd(Stream& stream) {
  auto& call = static_cast<Call&>(stream);
  last_call_ = Now();
  call.CancelForClient(last_call_);
  if (call.is_watch() && call.is_dispatched()) {
    assert(watches_ > 0);
    --watches_;
  }
}

void Connection::EndCalls(bool streaming_only) {
  session_->ForEach([streaming_only](Stream& stream) {
    auto& call = static_cast<Call&>(stream);
    const bool streams = call.is_routed() && !call.is_unary() && call.is_dispatched();
    if (!call.is_finished() && (streams || !streaming_only)) call.Stop();
  });
}

// Acts on what the session has found in the bytes that were read.
void Connection::CheckSession() {
  if (stage_ != Stage::kOpen) return;
  if (const auto fault = session_->fault()) return Fail(*fault);
  if (session_->resets_exceeded() && retiring_ != CloseCause::kResets) Retire(CloseCause::kResets);
  if (session_->IsDone()) {
    const CloseCause done = session_->client_sent_goaway() ? CloseCause::kClient : CloseCause::kProtocol;
    return Close(retiring_.value_or(done));
  }
  if (retiring_) ContinueRetiring(Now());
}

void Connection::Fail(CloseCause cause) {
  session_->Terminate(ErrorCodeOf(cause));
  Close(cause);
}

void Connection::Retire(CloseCause cause) {
  if (stage_ == Stage::kHandshake) return Close(cause);
  if (stage_ != Stage::kOpen || retiring_ == CloseCause::kResets) return;
  const TimePoint now = Now();
  const bool announced = retiring_.has_value();
  retiring_ = cause;
  if (cause == CloseCause::kResets) {
    session_->GoAway(NGHTTP2_ENHANCE_YOUR_CALM);
    notice_over_ = true;
  } else if (!announced) {
    session_->AnnounceGoAway();
    session_->Ping();
    notice_ping_ = session_->pings();
    notice_until_ = now + context_.times.goaway_notice;
  }
  end_calls_at_ = ForcedEndOfCalls(cause, now);
  ArmTimer();
  ScheduleFlush();
}

// When calls that still run on a retiring connection are ended by force.
TimePoint Connection::ForcedEndOfCalls(CloseCause cause, TimePoint now) const {
  switch (cause) {
    case CloseCause::kDrain:  // Stop sets the time
    case CloseCause::kResets:
      return TimePoint::max();
    case CloseCause::kNoCaller:
      return notice_until_;
    default:
      return now + context_.times.age_grace;
  }
}

// The client has read the first GOAWAY when it answers the PING that was sent after it.
void Connection::ContinueRetiring(TimePoint now) {
  if (!notice_over_ && session_->answered_pings() < notice_ping_ && now < notice_until_) return;
  notice_over_ = true;
  if (retiring_ != CloseCause::kAge) EndCalls(true);
  if (now >= end_calls_at_) EndCalls(false);
  const bool overdue = now >= end_calls_at_ && now - end_calls_at_ >= context_.times.linger;
  if (has_calls() && !overdue) return;
  if (retiring_ != CloseCause::kResets) session_->GoAway(NGHTTP2_NO_ERROR);
  Close(*retiring_);
}

void Connection::Stop(TimePoint deadline) {
  if (stage_ == Stage::kHandshake) return Close(CloseCause::kDrain);
  if (stage_ != Stage::kOpen) return;
  if (!retiring_) retiring_ = CloseCause::kDrain;
  notice_over_ = true;
  end_calls_at_ = deadline - context_.times.linger;
  EndCalls(false);
  ArmTimer();
  ScheduleFlush();
}

void Connection::Close(CloseCause cause) {
  if (!is_open()) return;
  cause_ = cause;
  if (stage_ == Stage::kHandshake) {  // OpenSSL has already written its alert, if any
    SetStage(Stage::kLingering);
    shutdown(socket(), SHUT_WR);
  } else {
    SetStage(Stage::kFlushing);
    CancelCalls();
  }
  wants_write_ = false;
  close_by_ = Now() + context_.times.linger;
  ArmTimer();
  ScheduleFlush();
}

void Connection::CloseAtOnce(CloseCause cause) {
  if (is_open()) cause_ = cause;
  if (stage_ == Stage::kOpen) CancelCalls();
  FinishClosing();
}

void Connection::CancelCalls() {
  session_->ForEach([now = Now()](Stream& stream) { static_cast<Call&>(stream).CancelForClient(now); });
}

void Connection::FinishClosing() {
  SetStage(Stage::kClosed);
  wants_write_ = false;
  timer_.Cancel();
  ScheduleFlush();
}

void Connection::OnTimer() {
  const TimePoint now = Now();
  switch (stage_) {
    case Stage::kHandshake:
      if (now >= accepted_at_ + context_.times.handshake) Close(CloseCause::kHandshakeTimeout);
      break;
    case Stage::kOpen:
      CheckTimeouts(now);
      break;
    case Stage::kFlushing:
    case Stage::kLingering:
      if (now >= close_by_) FinishClosing();
      break;
    case Stage::kClosed:
      return;
  }
  ArmTimer();
}

void Connection::CheckTimeouts(TimePoint now) {
  if (!session_->settings_received() && now >= accepted_at_ + context_.times.handshake) {
    return Fail(CloseCause::kHandshakeTimeout);
  }
  if (!session_->settings_acknowledged() && now >= opened_at_ + context_.times.settings) {
    return Fail(CloseCause::kSettingsTimeout);
  }
  if (wants_write_ && now >= blocked_since_ + context_.times.answer)
    return CloseAtOnce(CloseCause::kUnreadAnswers);
  if (last_read_ >= pinged_at_.value_or(TimePoint::max())) pinged_at_.reset();
  if (pinged_at_ && now >= *pinged_at_ + context_.times.keepalive_answer)
    return Close(CloseCause::kKeepalive);
  if (!pinged_at_ && now >= last_read_ + context_.times.keepalive) {
    session_->Ping();
    pinged_at_ = now;
    ScheduleFlush();
  }
  if (retiring_) return ContinueRetiring(now);
  if (!is_caller_known_ && now >= accepted_at_ + context_.times.unknown_caller)
    return Retire(CloseCause::kNoCaller);
  if (!has_calls() && now >= last_call_ + context_.times.idle) return Retire(CloseCause::kIdle);
  if (now >= opened_at_ + context_.times.age) return Retire(CloseCause::kAge);
  if (now >= CertificateNotice(now)) Retire(CloseCause::kCertificate);
}

TimePoint Connection::CertificateNotice(TimePoint now) const {
  if (!peer_.certificate) return TimePoint::max();
  const auto left = peer_.certificate->not_after - std::chrono::system_clock::now();
  // The remaining time is capped, since `now` plus the time until a distant date overflows.
  return now +
         std::min<std::chrono::nanoseconds>(left, context_.times.age + context_.times.certificate_notice) -
         context_.times.certificate_notice;
}

// Sets the timer to the earliest time at which something may be due. A time that moves later in the meantime,
// such as the end of an idle connection, is checked again when the timer fires.
void Connection::ArmTimer() {
  const TimePoint now = Now();
  TimePoint next = TimePoint::max();
  const auto consider = [&next](TimePoint at) { next = std::min(next, at); };
  switch (stage_) {
    case Stage::kHandshake:
      consider(accepted_at_ + context_.times.handshake);
      break;
    case Stage::kOpen:
      if (!session_->settings_received()) consider(accepted_at_ + context_.times.handshake);
      if (!session_->settings_acknowledged()) consider(opened_at_ + context_.times.settings);
      if (wants_write_) consider(blocked_since_ + context_.times.answer);
      consider(pinged_at_ ? *pinged_at_ + context_.times.keepalive_answer
                          : last_read_ + context_.times.keepalive);
      if (!retiring_) {
        if (!is_caller_known_) consider(accepted_at_ + context_.times.unknown_caller);
        if (!has_calls()) consider(last_call_ + context_.times.idle);
        consider(opened_at_ + context_.times.age);
        consider(CertificateNotice(now));
      } else if (!notice_over_) {
        consider(notice_until_);
      } else if (end_calls_at_ != TimePoint::max()) {
        consider(now < end_calls_at_ ? end_calls_at_ : end_calls_at_ + context_.times.linger);
      }
      break;
    case Stage::kFlushing:
    case Stage::kLingering:
      consider(close_by_);
      break;
    case Stage::kClosed:
      return timer_.Cancel();
  }
  // Not in the past: CheckTimeouts has already handled times that have come, or does so in a moment.
  timer_.Set(std::max(next, now + std::chrono::milliseconds(1)));
}

}  // namespace tokend::rpc
