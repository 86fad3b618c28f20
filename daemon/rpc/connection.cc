#include "daemon/rpc/connection.h"

#include <openssl/crypto.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/form.h"
#include "daemon/rpc/bounds.h"
#include "daemon/rpc/wire_text.h"

namespace tokend::rpc {
namespace {

using Io = Transport::Io;
using TimePoint = Connection::TimePoint;

// While the client does not read, and so many frames wait for it, it is not read from either.
constexpr std::size_t kMaxQueuedFrames = 256;

constexpr int kUnsupportedMediaType = 415;
constexpr int kMethodNotAllowed = 405;

TimePoint Now() { return std::chrono::steady_clock::now(); }

CallStatus StatusOf(MessageReader::Problem problem) {
  switch (problem) {
    case MessageReader::Problem::kTooLarge:
      return {Code::kResourceExhausted, "the message is larger than 64 KiB"};
    case MessageReader::Problem::kCompressed:
      return {Code::kUnimplemented, "compressed messages are not taken; send the message as it is"};
    case MessageReader::Problem::kBadHead:
    case MessageReader::Problem::kNone:
      break;
  }
  return {Code::kInternal, "the message is malformed"};
}

std::uint32_t ErrorCodeOf(CloseCause cause) {
  return cause == CloseCause::kProtocol ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM;
}

}  // namespace

// One stream and what is done with it.
class Connection::Call final : public Stream, public Exchange {
 public:
  Call(Connection& connection, StreamId id, TimePoint now)
      : Stream(id),
        connection_(connection),
        arrived_(now),
        timer_(connection.context_.timers, [this] { OnTimer(); }) {
    timer_.Set(now + connection.context_.times.request);
  }

  // Finds the method, and judges what comes before it. False: the call is answered.
  bool Route();

  bool is_routed() const { return route_ != nullptr; }
  bool is_dispatched() const { return handler_ != nullptr; }
  bool is_unary() const { return route_->method->kind == Kind::kUnary; }
  bool is_bidi() const { return route_->method->kind == Kind::kBidiStreaming; }
  bool is_watch() const { return route_ != nullptr && route_->method == &kHealthWatch; }

  void Begin();
  void Feed();
  // Leaves the rest until the connection has room, and its turn, again.
  void Wait();
  void Continue();
  // The client gets no answer any more.
  void Abandon(Code why);
  // The daemon ends the call.
  void Stop();

  bool IsOverdue(TimePoint now) const override;

  // Exchange.
  const RequestHead& head() const override { return Stream::head(); }
  const Peer& peer() const override { return connection_.peer_; }
  TimePoint arrived() const override { return arrived_; }
  std::optional<TimePoint> deadline() const override { return deadline_; }
  bool is_draining() const override {
    return connection_.retiring_ == CloseCause::kDrain && connection_.notice_over_;
  }
  const std::shared_ptr<Mailbox>& mailbox() const override { return connection_.context_.mailbox; }
  void ShowCaller() override;
  void Resume() override;
  void Send(WipedBytes message) override;
  void Finish(CallStatus status) override;

 private:
  void OnTimer();
  // The request has begun to come: the timer is for the call's deadline from here on.
  void AwaitDeadline();
  void Ended(Code code);

  Connection& connection_;
  const TimePoint arrived_;
  const Routes::Route* route_ = nullptr;
  std::optional<TimePoint> deadline_;
  std::shared_ptr<CallHandler> handler_;
  Timer timer_;
  TimePoint unread_since_;  // while there are bytes of the answer
  bool has_had_message_ = false;
  bool waits_ = false;     // in the connection's `waiting_`
  bool end_told_ = false;  // the request's, to the handler
  bool over_ = false;      // the handler is not to be called any more
};

bool Connection::Call::Route() {
  if (head().IsTooLarge()) {
    Finish({Code::kResourceExhausted, "the metadata is larger than 16 KiB"});
    return false;
  }
  const bool is_grpc = IsGrpc(head().content_type);
  if (!is_grpc || head().method != "POST") {
    connection_.session_->AnswerHttp(*this, is_grpc ? kMethodNotAllowed : kUnsupportedMediaType);
    timer_.Set(Now() + connection_.context_.times.answer);
    over_ = true;
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
  const std::optional<Failure> malformed = head().Judge();
  if (route_->method->access == Access::kAnyone && malformed) {
    Finish(ToStatus(*malformed, MakeUuid()));
    return false;
  }
  return true;
}

void Connection::Call::Begin() { handler_ = route_->begin(*this); }

// Hands the complete messages to the handler, as long as there is room for answers.
void Connection::Call::Feed() {
  while (!over_ && messages().HasMessage() && handler_->IsReady()) {
    if (!connection_.MayBegin()) return Wait();
    AwaitDeadline();
    handler_->OnMessage(connection_.session_->TakeMessage(*this));
    connection_.session_->DropHead(*this);
    if (is_bidi()) connection_.session_->ReopenWindow(*this);
  }
  if (!over_ && messages().problem() != MessageReader::Problem::kNone) {
    handler_->OnAbandoned(Code::kCancelled);
    return Finish(StatusOf(messages().problem()));
  }
  const bool is_end = !over_ && is_bidi() && has_ended() && !messages().HasMessage();
  if (is_end && handler_->IsReady() && !std::exchange(end_told_, true)) handler_->OnRequestEnd();
}

void Connection::Call::AwaitDeadline() {
  if (std::exchange(has_had_message_, true)) return;
  if (deadline_) {
    timer_.Set(*deadline_);
  } else {
    timer_.Cancel();
  }
}

void Connection::Call::Wait() {
  if (!std::exchange(waits_, true)) connection_.waiting_.push_back(id());
}

void Connection::Call::Continue() {
  waits_ = false;
  if (is_finished()) return;
  if (is_dispatched()) {
    Feed();
  } else {
    connection_.Dispatch(*this);
  }
}

void Connection::Call::ShowCaller() { connection_.has_shown_caller_ = true; }

void Connection::Call::Resume() {
  Wait();
  connection_.Touch();
}

void Connection::Call::Send(WipedBytes message) {
  if (queued_bytes() == 0) unread_since_ = Now();
  timer_.SetAtLatest(unread_since_ + connection_.context_.times.answer);
  connection_.session_->Send(*this, std::move(message));
  connection_.CountHeld();
  connection_.Touch();
}

void Connection::Call::Finish(CallStatus status) {
  if (is_finished()) return;
  Ended(status.code);
  connection_.session_->Finish(*this, std::move(status));
  timer_.Set(Now() + connection_.context_.times.answer);
  connection_.Touch();
}

void Connection::Call::Abandon(Code why) {
  if (over_) return;
  const bool was_call = route_ != nullptr;
  over_ = true;
  timer_.Cancel();
  if (handler_) handler_->OnAbandoned(why);
  if (was_call) Ended(why);
}

void Connection::Call::Stop() {
  if (over_) return;
  over_ = true;
  Finish(handler_ ? handler_->OnStop() : ToStatus({Reason::kShuttingDown}, MakeUuid()));
}

void Connection::Call::Ended(Code code) {
  over_ = true;
  connection_.context_.metrics.CallEnded(route_ != nullptr ? route_->method->name() : "", Name(code),
                                         Now() - arrived_);
}

// A client's own clock may be a little ahead of its deadline here.
bool Connection::Call::IsOverdue(TimePoint now) const {
  constexpr std::chrono::milliseconds kMostAhead{50};
  if (!deadline_) return false;
  const auto ahead = std::min<std::chrono::nanoseconds>((*deadline_ - arrived_) / 10, kMostAhead);
  return now + ahead >= *deadline_;
}

void Connection::Call::OnTimer() {
  const TimePoint now = Now();
  if (!is_finished() && deadline_ && now >= *deadline_) {
    Abandon(Code::kDeadlineExceeded);
    connection_.session_->Finish(*this, {Code::kDeadlineExceeded, "the call's deadline has passed"});
    timer_.Set(now + connection_.context_.times.answer);
  } else if (is_finished() ||
             (queued_bytes() > 0 && now >= unread_since_ + connection_.context_.times.answer)) {
    Abandon(Code::kCancelled);
    connection_.session_->Reset(*this);  // the client does not read its answer
  } else if (!has_had_message_) {
    if (handler_) handler_->OnAbandoned(Code::kDeadlineExceeded);
    Finish({Code::kDeadlineExceeded, "the request did not come, or could not be taken, in time"});
  } else {
    if (deadline_) timer_.Set(*deadline_);
    if (queued_bytes() > 0) timer_.SetAtLatest(unread_since_ + connection_.context_.times.answer);
  }
  connection_.Touch();
}

Connection::Connection(ConnectionContext& context, std::uint64_t id, int socket,
                       std::unique_ptr<Transport> transport, Peer peer)
    : context_(context),
      id_(id),
      socket_(socket),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      timer_(context.timers, [this] { OnTimer(); }),
      began_(Now()) {
  Schedule();
}

Connection::~Connection() {
  context_.answer_bytes -= answer_bytes_;
  context_.request_bytes -= request_bytes_;
  session_.reset();
  transport_.reset();
  close(socket_);
}

std::uint32_t Connection::interest() const {
  const bool reads =
      stage_ == Stage::kHandshake || stage_ == Stage::kLingering ||
      (stage_ == Stage::kOpen && !(wants_write_ && session_->queued_frames() > kMaxQueuedFrames));
  return (reads ? std::uint32_t{EPOLLIN} : 0U) | (wants_write_ ? std::uint32_t{EPOLLOUT} : 0U);
}

bool Connection::has_more() const {
  const bool has_unread = (interest() & EPOLLIN) != 0 && transport_->HasBuffered();
  return stage_ == Stage::kOpen && (has_unread || (!waiting_.empty() && HasRoom()));
}

bool Connection::IsTurnOver() const { return Now() - turn_began_ >= bounds::kTurn; }

void Connection::OnReady(std::uint32_t events) {
  turn_began_ = Now();
  switch (stage_) {
    case Stage::kHandshake:
      return StepHandshake();
    case Stage::kOpen:
      DispatchWaiting();
      if ((events & ~std::uint32_t{EPOLLOUT}) != 0) Read();
      return Touch();
    case Stage::kFlushing:
      return Touch();
    case Stage::kLingering:
      return Drop();
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
  Close(CloseCause::kHandshake);
}

void Connection::Open() {
  Result<std::optional<ClientCertificate>> certificate = transport_->Certificate();
  if (!certificate.ok()) {
    handshake_error_ = std::string(certificate.status().message());
    return Close(CloseCause::kHandshake);
  }
  peer_.certificate = *std::move(certificate);
  opened_ = last_read_ = last_call_ = Now();
  session_ = std::make_unique<Session>(*this, opened_);
  stage_ = Stage::kOpen;
  has_shown_caller_ = context_.shows_caller(peer_);
  Schedule();
  Read();
  Touch();
}

void Connection::Read() {
  for (bool is_first = true; stage_ == Stage::kOpen && (is_first || !IsTurnOver()); is_first = false) {
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

// Reads and drops input: to close a socket with unread input resets it, and the client loses our last bytes.
void Connection::Drop() {
  while (!IsTurnOver()) {
    const ssize_t got = recv(socket_, context_.read_buffer.data(), context_.read_buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return FinishClosing();
    OPENSSL_cleanse(context_.read_buffer.data(), static_cast<std::size_t>(got));
  }
}

void Connection::Touch() {
  if (std::exchange(touched_, true)) return;
  context_.touched.push_back(this);
}

void Connection::Flush() {
  absl::Cleanup touchable = [this] { touched_ = false; };
  if (!session_) return;
  do {
    DispatchWaiting();
    CheckSession();
  } while ((stage_ == Stage::kOpen || stage_ == Stage::kFlushing) && Write());
  CountHeld();
  if (stage_ == Stage::kFlushing && !wants_write_) {
    transport_->SayEnd();
    shutdown(socket_, SHUT_WR);
    stage_ = Stage::kLingering;
    close_by_ = Now() + context_.times.linger;
    Schedule();
  }
}

// Writes what there is. False: there is nothing more, or the socket takes no more.
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

void Connection::CountHeld() {
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
  if (!call.is_routed() && !call.Route()) return Touch();
  if (call.is_dispatched()) {
    if (call.is_bidi()) call.Feed();
    return;
  }
  const MessageReader& messages = call.messages();
  if (messages.problem() != MessageReader::Problem::kNone) return call.Finish(StatusOf(messages.problem()));
  if (!call.is_bidi()) {
    if (messages.HasMoreThanOne()) return call.Finish({Code::kUnimplemented, "the method takes one message"});
    if (!call.has_ended()) return;
    if (messages.HasPart()) return call.Finish(StatusOf(MessageReader::Problem::kBadHead));
    if (!messages.HasMessage()) return call.Finish({Code::kUnimplemented, "the method takes a message"});
  }
  Dispatch(call);
}

bool Connection::HasRoom() const {
  return session_->queued_answer_bytes() + unsent_.size() < bounds::kMaxQueuedAnswerBytes;
}

// A client that does not read its answers gets no more of them, and one that has had its turn gets them in
// the next: its calls wait.
bool Connection::MayBegin() const { return HasRoom() && !IsTurnOver(); }

void Connection::Dispatch(Call& call) {
  if (!MayBegin()) return call.Wait();
  if (call.is_watch() && watches_ >= bounds::kMaxHealthWatches) {
    return call.Finish(ToStatus({Reason::kOverloaded}, MakeUuid()));
  }
  if (call.is_watch()) ++watches_;
  call.Begin();
  call.Feed();
}

void Connection::DispatchWaiting() {
  while (!waiting_.empty() && stage_ == Stage::kOpen && MayBegin()) {
    auto* const call = static_cast<Call*>(session_->Find(waiting_.front()));
    waiting_.pop_front();
    if (call != nullptr) call->Continue();
  }
}

void Connection::OnEnd(Stream& stream) {
  auto& call = static_cast<Call&>(stream);
  last_call_ = Now();
  call.Abandon(call.IsOverdue(last_call_) ? Code::kDeadlineExceeded : Code::kCancelled);
  if (call.is_watch() && call.is_dispatched()) --watches_;
}

void Connection::EndCalls(bool streaming_only) {
  session_->ForEach([streaming_only](Stream& stream) {
    auto& call = static_cast<Call&>(stream);
    const bool streams = call.is_routed() && !call.is_unary() && call.is_dispatched();
    if (!call.is_finished() && (streams || !streaming_only)) call.Stop();
  });
}

// What the bytes that were read or written have come to.
void Connection::CheckSession() {
  if (stage_ != Stage::kOpen) return;
  if (const auto fault = session_->fault()) return Fail(*fault);
  if (session_->resets_spent() && retiring_ != CloseCause::kResets) Retire(CloseCause::kResets);
  if (session_->IsDone()) {
    const CloseCause done = session_->client_leaves() ? CloseCause::kClient : CloseCause::kProtocol;
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
  retired_by_ = EndOfCalls(cause, now);
  Schedule();
  Touch();
}

// When calls that still run on a connection that retires are ended.
TimePoint Connection::EndOfCalls(CloseCause cause, TimePoint now) const {
  switch (cause) {
    case CloseCause::kDrain:  // Stop says when
    case CloseCause::kResets:
      return TimePoint::max();
    case CloseCause::kNoCaller:
      return notice_until_;
    default:
      return now + context_.times.age_grace;
  }
}

// The client has seen the first GOAWAY once it answers the ping that came after it.
void Connection::ContinueRetiring(TimePoint now) {
  if (!notice_over_ && session_->answered_pings() < notice_ping_ && now < notice_until_) return;
  notice_over_ = true;
  if (retiring_ != CloseCause::kAge) EndCalls(true);
  if (now >= retired_by_) EndCalls(false);
  const bool overdue = now >= retired_by_ && now - retired_by_ >= context_.times.linger;
  if (has_calls() && !overdue) return;
  if (retiring_ != CloseCause::kResets) session_->GoAway(NGHTTP2_NO_ERROR);
  Close(*retiring_);
}

void Connection::Stop(TimePoint deadline) {
  if (stage_ == Stage::kHandshake) return Close(CloseCause::kDrain);
  if (stage_ != Stage::kOpen) return;
  if (!retiring_) retiring_ = CloseCause::kDrain;
  notice_over_ = true;
  retired_by_ = deadline - context_.times.linger;
  EndCalls(false);
  Schedule();
  Touch();
}

void Connection::Close(CloseCause cause) {
  if (!is_open()) return;
  cause_ = cause;
  if (stage_ == Stage::kHandshake) {  // OpenSSL has written its alert, if there is one
    stage_ = Stage::kLingering;
    shutdown(socket_, SHUT_WR);
  } else {
    stage_ = Stage::kFlushing;
    AbandonCalls();
  }
  wants_write_ = false;
  close_by_ = Now() + context_.times.linger;
  Schedule();
  Touch();
}

void Connection::CloseAtOnce(CloseCause cause) {
  if (is_open()) cause_ = cause;
  if (stage_ == Stage::kOpen) AbandonCalls();
  FinishClosing();
}

void Connection::AbandonCalls() {
  const TimePoint now = Now();
  session_->ForEach([now](Stream& stream) {
    auto& call = static_cast<Call&>(stream);
    call.Abandon(call.IsOverdue(now) ? Code::kDeadlineExceeded : Code::kCancelled);
  });
}

void Connection::FinishClosing() {
  stage_ = Stage::kClosed;
  wants_write_ = false;
  timer_.Cancel();
  Touch();
}

void Connection::OnTimer() {
  const TimePoint now = Now();
  switch (stage_) {
    case Stage::kHandshake:
      if (now >= began_ + context_.times.handshake) Close(CloseCause::kHandshakeTimeout);
      break;
    case Stage::kOpen:
      JudgeTimes(now);
      break;
    case Stage::kFlushing:
    case Stage::kLingering:
      if (now >= close_by_) FinishClosing();
      break;
    case Stage::kClosed:
      return;
  }
  Schedule();
}

void Connection::JudgeTimes(TimePoint now) {
  if (!session_->settings_received() && now >= began_ + context_.times.handshake) {
    return Fail(CloseCause::kHandshakeTimeout);
  }
  if (!session_->settings_acknowledged() && now >= opened_ + context_.times.settings) {
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
    Touch();
  }
  if (retiring_) return ContinueRetiring(now);
  if (!has_shown_caller_ && now >= began_ + context_.times.stranger) return Retire(CloseCause::kNoCaller);
  if (!has_calls() && now >= last_call_ + context_.times.idle) return Retire(CloseCause::kIdle);
  if (now >= opened_ + context_.times.age) return Retire(CloseCause::kAge);
  if (now >= CertificateNotice(now)) Retire(CloseCause::kCertificate);
}

TimePoint Connection::CertificateNotice(TimePoint now) const {
  if (!peer_.certificate) return TimePoint::max();
  const auto left = peer_.certificate->not_after - std::chrono::system_clock::now();
  // A certificate may be good for longer than a clock of nanoseconds can tell.
  return now +
         std::min<std::chrono::nanoseconds>(left, context_.times.age + context_.times.certificate_notice) -
         context_.times.certificate_notice;
}

// Sets the timer to the next time at which there may be something to do. What calls put off, such as the end
// of an idle connection, is looked at again when its first time has come.
void Connection::Schedule() {
  const TimePoint now = Now();
  TimePoint next = TimePoint::max();
  const auto consider = [&next](TimePoint at) { next = std::min(next, at); };
  switch (stage_) {
    case Stage::kHandshake:
      consider(began_ + context_.times.handshake);
      break;
    case Stage::kOpen:
      if (!session_->settings_received()) consider(began_ + context_.times.handshake);
      if (!session_->settings_acknowledged()) consider(opened_ + context_.times.settings);
      if (wants_write_) consider(blocked_since_ + context_.times.answer);
      consider(pinged_at_ ? *pinged_at_ + context_.times.keepalive_answer
                          : last_read_ + context_.times.keepalive);
      if (!retiring_) {
        if (!has_shown_caller_) consider(began_ + context_.times.stranger);
        if (!has_calls()) consider(last_call_ + context_.times.idle);
        consider(opened_ + context_.times.age);
        consider(CertificateNotice(now));
      } else if (!notice_over_) {
        consider(notice_until_);
      } else if (retired_by_ != TimePoint::max()) {
        consider(now < retired_by_ ? retired_by_ : retired_by_ + context_.times.linger);
      }
      break;
    case Stage::kFlushing:
    case Stage::kLingering:
      consider(close_by_);
      break;
    case Stage::kClosed:
      return timer_.Cancel();
  }
  // Never in the past: a time that has come was judged, or is judged at once.
  timer_.Set(std::max(next, now + std::chrono::milliseconds(1)));
}

}  // namespace tokend::rpc
