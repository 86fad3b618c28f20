#include "daemon/rpc/session.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <new>
#include <utility>

#include "daemon/base/wiping_memory.h"
#include "daemon/rpc/wire_text.h"

namespace tokend::rpc {
namespace {

// How much Produce makes at once.
constexpr std::size_t kProduceBytes = std::size_t{48} * 1024;

// Limits that nghttp2 enforces.
constexpr std::size_t kMaxContinuations = 8;  // CONTINUATION frames of a header block
constexpr std::size_t kMaxQueuedAcks =
    256;  // acknowledgements of PING and SETTINGS that the client has not read
constexpr std::size_t kMaxSettings = 32;  // entries of a SETTINGS frame
constexpr std::size_t kFrameHeader = 9;   // the size of a frame's header (RFC 9113, 4.1)

// FloodGuard limits resets instead of nghttp2. nghttp2 also counts resets of finished streams, which libcurl
// sends after each answer, and stops counting while a GOAWAY is queued.
constexpr std::uint64_t kNoLimit = 1'000'000'000;

template <class T, void (*Delete)(T*)>
struct Deleter {
  void operator()(T* owned) const { Delete(owned); }
};
using Option = std::unique_ptr<nghttp2_option, Deleter<nghttp2_option, &nghttp2_option_del>>;

Option MakeOption() {
  nghttp2_option* option = nullptr;
  if (nghttp2_option_new(&option) != 0) throw std::bad_alloc();
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_continuations(option, kMaxContinuations);
  nghttp2_option_set_max_outbound_ack(option, kMaxQueuedAcks);
  nghttp2_option_set_max_settings(option, kMaxSettings);
  nghttp2_option_set_stream_reset_rate_limit(option, kNoLimit, kNoLimit);
  return Option(option);
}

// Each session begins with a buffer for frames of 16 KiB, and most use its first page at most. Pages that an
// earlier owner of the memory has written are returned to the system, until they are written again.
void* AllocateWithoutPages(std::size_t size) {
  constexpr std::size_t kFrame = std::size_t{16} * 1024;
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  void* const memory = WipingMalloc(size);
  if (memory == nullptr || size < kFrame) return memory;
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = (address + page - 1) / page * page;
  const std::uintptr_t end = (address + size) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // NOLINT: an address
  return memory;
}

// nghttp2's memory is wiped because header blocks contain callers' tokens.
nghttp2_mem* WipingMemory() {
  static nghttp2_mem memory = {
      nullptr,
      [](std::size_t size, void*) { return WipingMalloc(size); },
      [](void* freed, void*) { WipingFree(freed); },
      [](std::size_t count, std::size_t size, void*) { return WipingCalloc(count, size); },
      [](void* held, std::size_t size, void*) {
        return held == nullptr ? AllocateWithoutPages(size) : WipingRealloc(held, size);
      },
  };
  return &memory;
}

std::string_view View(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// nghttp2 copies the name and the value.
nghttp2_nv Header(std::string_view name, std::string_view value, std::uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  return {const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(name.data())),
          const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(value.data())), name.size(),
          value.size(), flags};
}

// The headers that begin an answer.
std::vector<nghttp2_nv> AnswerHeaders() {
  return {Header(":status", "200"), Header("content-type", "application/grpc"),
          Header("grpc-accept-encoding", "identity")};
}

// The headers that end an answer.
class Trailers {
 public:
  explicit Trailers(const CallStatus& status)
      : code_(std::to_string(static_cast<int>(status.code))),
        message_(PercentEncode(status.message)),
        details_(EncodeBinary(status.details)) {
    headers_.push_back(Header("grpc-status", code_));
    if (!message_.empty()) headers_.push_back(Header("grpc-message", message_));
    // The details differ for every error, so they are kept out of HPACK's table.
    if (!details_.empty()) {
      headers_.push_back(Header("grpc-status-details-bin", details_, NGHTTP2_NV_FLAG_NO_INDEX));
    }
    if (status.forbids_retry) headers_.push_back(Header("grpc-retry-pushback-ms", "-1"));
  }
  Trailers(const Trailers&) = delete;
  Trailers& operator=(const Trailers&) = delete;

  const std::vector<nghttp2_nv>& headers() const { return headers_; }

 private:
  const std::string code_;
  const std::string message_;
  const std::string details_;
  std::vector<nghttp2_nv> headers_;
};

}  // namespace

// The callbacks of nghttp2. They only record what has happened: the owner is notified after nghttp2 has
// returned.
struct Session::Callbacks {
  static Session& Of(void* session) { return *static_cast<Session*>(session); }

  static ssize_t Read(nghttp2_session*, std::int32_t id, std::uint8_t*, std::size_t size,
                      std::uint32_t* flags, nghttp2_data_source*, void* data) {
    return Of(data).ReadAnswer(id, size, *flags);
  }

  using Owned = std::unique_ptr<nghttp2_session_callbacks,
                                Deleter<nghttp2_session_callbacks, &nghttp2_session_callbacks_del>>;
  static Owned Make() {
    nghttp2_session_callbacks* all = nullptr;
    if (nghttp2_session_callbacks_new(&all) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_begin_frame_callback(
        all, [](nghttp2_session*, const nghttp2_frame_hd* head, void* data) {
          Of(data).OnFrameHead(*head);
          return 0;
        });
    nghttp2_session_callbacks_set_on_begin_headers_callback(
        all, [](nghttp2_session*, const nghttp2_frame* frame, void* data) {
          Of(data).OnHead(*frame);
          return 0;
        });
    nghttp2_session_callbacks_set_on_header_callback(
        all, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* data) {
          return Of(data).OnHeader(*frame, View(name, name_size), View(value, value_size));
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        all, [](nghttp2_session*, const nghttp2_frame* frame, void* data) {
          Of(data).OnFrame(*frame);
          return 0;
        });
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
        all, [](nghttp2_session*, const nghttp2_frame*, int error, void* data) {
          // A stream beyond the maximum is never opened, so OnClose is not called for it.
          Session& self = Of(data);
          if (error == NGHTTP2_ERR_REFUSED_STREAM) self.guard_.CountReset(self.now_);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        all, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                void* data) {
          Of(data).OnData(id, View(bytes, size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        all, [](nghttp2_session*, std::int32_t id, std::uint32_t, void* data) {
          Of(data).OnClose(id);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_send_callback(
        all, [](nghttp2_session*, const nghttp2_frame* frame, void* data) {
          Of(data).OnSent(*frame);
          return 0;
        });
    nghttp2_session_callbacks_set_send_data_callback(
        all, [](nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t size,
                nghttp2_data_source*,
                void* data) { return Of(data).SendAnswer(frame->hd.stream_id, head, size); });
    return Owned(all);
  }
};

Session::Session(Owner& owner, TimePoint now) : owner_(owner), now_(now) {
  static const Option option = MakeOption();
  static const Callbacks::Owned callbacks = Callbacks::Make();
  if (nghttp2_session_server_new3(&session_, callbacks.get(), this, option.get(), WipingMemory()) != 0) {
    throw std::bad_alloc();
  }
  // The announced limit of header bytes is higher than kMaxMetadataBytes. Otherwise grpc-go would refuse
  // large metadata itself, and the caller would not get our error.
  const std::array<nghttp2_settings_entry, 4> settings = {{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, bounds::kMaxStreams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, bounds::kMaxHeaderBlockBytes},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bounds::kStreamWindow},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  }};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, bounds::kConnectionWindow);
  guard_.CountFrame(NGHTTP2_CLIENT_MAGIC_LEN);
}

Session::~Session() { nghttp2_session_del(session_); }

void Session::Receive(std::string_view bytes, TimePoint now) {
  now_ = now;
  const std::size_t dropped = idle_resets_.Filter(bytes, [this](std::string_view passed) { Parse(passed); });
  for (std::size_t i = 0; i < dropped; ++i) guard_.CountControlFrame(now);
  NotifyEnds();  // first, since the new calls may need their places
  for (const StreamId id : std::exchange(progressed_, {})) {
    if (Stream* const stream = Find(id)) owner_.OnProgress(*stream);
  }
}

void Session::Parse(std::string_view bytes) {
  if (fault_) return;
  const ssize_t taken =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  guard_.CountInput(bytes.size(), now_);
  if (taken == NGHTTP2_ERR_FLOODED) return Fail(CloseCause::kControlFrames);
  if (taken == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) return Fail(CloseCause::kHeaderBlock);
  if (taken < 0) Fail(CloseCause::kProtocol);
}

void Session::Produce(WipedBytes& out, TimePoint now) {
  now_ = now;
  out_ = &out;
  GrantWindows();
  for (;;) {
    while (out.size() < kProduceBytes) {
      const std::uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      if (size < 0) Fail(CloseCause::kProtocol);
      if (size <= 0) break;
      out.insert(out.end(), bytes, bytes + size);
    }
    if (answered_early_.empty()) break;
    // The answer was sent before the request was complete. RST_STREAM with NO_ERROR asks the client not to
    // send the rest (RFC 9113, 8.1). Otherwise the stream would stay open.
    for (const StreamId id : std::exchange(answered_early_, {})) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    }
  }
  out_ = nullptr;
  NotifyEnds();
}

void Session::NotifyEnds() {
  for (const std::unique_ptr<Stream>& stream : std::exchange(closed_, {})) owner_.OnEnd(*stream);
}

std::optional<CloseCause> Session::fault() const {
  if (fault_) return fault_;
  switch (guard_.verdict()) {
    case FloodGuard::Verdict::kControlFrames:
      return CloseCause::kControlFrames;
    case FloodGuard::Verdict::kIgnoredBytes:
      return CloseCause::kIgnoredBytes;
    case FloodGuard::Verdict::kFine:
      break;
  }
  return std::nullopt;
}

bool Session::IsDone() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

Stream* Session::Find(StreamId id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

void Session::Fail(CloseCause cause) {
  if (!fault_) fault_ = cause;
}

// The request.

void Session::OnFrameHead(const nghttp2_frame_hd& head) {
  if (head.type == NGHTTP2_HEADERS) return;  // OnHead counts it, unless nghttp2 ignores it
  if (head.type == NGHTTP2_CONTINUATION && head.stream_id != head_stream_) return;
  guard_.CountFrame(kFrameHeader + head.length);
  if (head.type == NGHTTP2_CONTINUATION) return;
  if (head.type == NGHTTP2_DATA && head.length > 0) {
    guard_.CountCallFrame();
  } else {
    guard_.CountControlFrame(now_);
  }
}

void Session::OnHead(const nghttp2_frame& frame) {
  head_stream_ = frame.hd.stream_id;
  guard_.CountFrame(kFrameHeader + frame.hd.length);
  guard_.CountCallFrame();
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) return;
  if (head_stream_ > last_accepted_) {  // the client has not read our GOAWAY yet
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, head_stream_, NGHTTP2_REFUSED_STREAM);
    return;
  }
  std::unique_ptr<Stream>& stream = streams_[head_stream_];
  stream = owner_.MakeStream(head_stream_);
  stream->window_ = bounds::kStreamWindow;
}

int Session::OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
  Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return 0;
  if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    stream->head_.Add(name, value);
    UpdateHeldBytes(*stream);
  } else {
    stream->head_.Count(name, value);
  }
  if (stream->head_.bytes <= bounds::kMaxHeaderBlockBytes) return 0;
  Fail(CloseCause::kHeaderBlock);
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // nghttp2 decodes the rest of the block without calling this
                                                 // again
}

void Session::OnFrame(const nghttp2_frame& frame) {
  const bool acknowledges = (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_SETTINGS:
      (acknowledges ? settings_acknowledged_ : settings_received_) = true;
      return;
    case NGHTTP2_PING:
      if (acknowledges) ++answered_pings_;
      return;
    case NGHTTP2_GOAWAY:
      client_sent_goaway_ = true;
      return;
    case NGHTTP2_HEADERS:
      head_stream_ = 0;
      guard_.CountPadding(frame.headers.padlen, now_);
      break;
    case NGHTTP2_DATA:
      guard_.CountPadding(frame.data.padlen, now_);
      break;
    default:
      return;
  }
  Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  if (frame.hd.type == NGHTTP2_HEADERS) stream->has_head_ = true;
  if (frame.hd.type == NGHTTP2_DATA) stream->window_ -= static_cast<std::int64_t>(frame.data.padlen);
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) stream->has_ended_ = true;
  QueueProgress(*stream);
}

void Session::OnData(StreamId id, std::string_view bytes) {
  nghttp2_session_consume_connection(session_, bytes.size());
  Stream* const stream = Find(id);
  if (stream == nullptr) return;
  stream->window_ -= static_cast<std::int64_t>(bytes.size());
  if (stream->finished_) return;
  stream->messages_.Append(bytes);
  UpdateHeldBytes(*stream);
  RequestWindow(*stream);
  QueueProgress(*stream);
}

void Session::OnClose(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = *found->second;
  CheckInvariants(stream);
  held_bytes_ -= stream.held_bytes_;
  queued_answer_bytes_ -= stream.queued_bytes_;
  ReleaseWindow(stream);
  if (stream.window_wanted_ != 0) std::erase(window_queue_, id);
  if (!stream.end_sent_ && !stream.IsOverdue(now_)) guard_.CountReset(now_);
  if (!stream.has_ended_ && stream.window_ > 0) guard_.AllowIgnored(static_cast<std::size_t>(stream.window_));
  closed_.push_back(std::move(found->second));
  streams_.erase(found);
}

void Session::QueueProgress(Stream& stream) {
  if (progressed_.empty() || progressed_.back() != stream.id_) progressed_.push_back(stream.id_);
}

std::string Session::TakeMessage(Stream& stream) {
  std::string message = stream.messages_.TakeMessage();
  UpdateHeldBytes(stream);
  ReleaseWindow(stream);
  return message;
}

void Session::ReleaseHead(Stream& stream) {
  stream.head_.ReleaseTexts();
  UpdateHeldBytes(stream);
}

void Session::ReleaseRequest(Stream& stream) {
  stream.messages_.Clear();
  ReleaseHead(stream);
}

void Session::UpdateHeldBytes(Stream& stream) {
  CheckInvariants(stream);
  held_bytes_ -= stream.held_bytes_;
  stream.held_bytes_ = stream.head_.HeldBytes() + stream.messages_.size();
  held_bytes_ += stream.held_bytes_;
  if (held_bytes_ > bounds::kMaxHeldRequestBytes) Fail(CloseCause::kHeldRequests);
}

// The sums over all streams include this stream, and a stream's part of the pool is missing in the pool.
void Session::CheckInvariants([[maybe_unused]] const Stream& stream) const {
  assert(stream.held_bytes_ <= held_bytes_);
  assert(stream.queued_bytes_ <= queued_answer_bytes_);
  assert(stream.window_granted_ + window_pool_ <= bounds::kWindowPool);
  assert(!stream.end_sent_ || stream.finished_);
}

// Flow control (session.h). The window of a stream is negative if the client has sent more than
// bounds::kStreamWindow before it read our SETTINGS: until then it may use HTTP/2's default of 64 KiB. It
// then needs more than the missing bytes, so the pool has room for two messages. Padding lowers `window_`
// too, although nghttp2 reopens the window for it, so `window_` can be too low, and never too high.
static_assert(bounds::kWindowPool >= 2 * bounds::kMaxMessageBytes);

void Session::RequestWindow(Stream& stream) {
  const auto missing = static_cast<std::int64_t>(stream.messages_.MissingBytes());
  if (missing <= 0 || missing <= stream.window_ || stream.window_wanted_ != 0) return;
  stream.window_wanted_ = std::min(static_cast<std::size_t>(missing - stream.window_), bounds::kWindowPool);
  window_queue_.push_back(stream.id_);
}

void Session::GrantWindows() {
  std::size_t granted = 0;
  for (; granted < window_queue_.size(); ++granted) {
    Stream* const waiting = Find(window_queue_[granted]);
    assert(waiting != nullptr);  // OnClose removes closed streams from the queue
    Stream& stream = *waiting;
    const std::size_t wanted = stream.window_wanted_;
    assert(wanted > 0 && wanted <= bounds::kWindowPool);
    if (wanted > window_pool_) break;
    window_pool_ -= wanted;
    stream.window_granted_ += wanted;
    stream.window_wanted_ = 0;
    stream.window_ += static_cast<std::int64_t>(wanted);
    nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<std::int32_t>(wanted));
  }
  window_queue_.erase(window_queue_.begin(), window_queue_.begin() + static_cast<std::ptrdiff_t>(granted));
}

void Session::ReleaseWindow(Stream& stream) { window_pool_ += std::exchange(stream.window_granted_, 0); }

void Session::RestoreWindow(Stream& stream) {
  const std::int64_t used = bounds::kStreamWindow - stream.window_;
  if (used <= 0) return;
  stream.window_ += used;
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<std::int32_t>(used));
}

// The answer.

void Session::AnswerHttp(Stream& stream, int http_status) {
  if (std::exchange(stream.finished_, true)) return;
  ReleaseRequest(stream);
  stream.answering_ = true;
  const std::string status = std::to_string(http_status);
  const nghttp2_nv header = Header(":status", status);
  nghttp2_submit_response(session_, stream.id_, &header, 1, nullptr);
}

void Session::Send(Stream& stream, WipedBytes message) {
  if (stream.finished_) return;
  stream.queued_bytes_ += message.size();
  queued_answer_bytes_ += message.size();
  stream.outgoing_.push_back(std::move(message));
  if (std::exchange(stream.answering_, true)) return Resume(stream);
  const std::vector<nghttp2_nv> headers = AnswerHeaders();
  nghttp2_data_provider provider{};
  provider.read_callback = &Callbacks::Read;
  nghttp2_submit_response(session_, stream.id_, headers.data(), headers.size(), &provider);
}

void Session::Finish(Stream& stream, CallStatus status) {
  if (std::exchange(stream.finished_, true)) return;
  ReleaseRequest(stream);
  stream.status_ = std::move(status);
  if (stream.answering_) return Resume(stream);
  // There is no message, so one HEADERS frame is header and trailers ("Trailers-Only").
  stream.answering_ = true;
  const Trailers trailers(stream.status_);
  std::vector<nghttp2_nv> headers = AnswerHeaders();
  headers.insert(headers.end(), trailers.headers().begin(), trailers.headers().end());
  nghttp2_submit_response(session_, stream.id_, headers.data(), headers.size(), nullptr);
}

void Session::Resume(const Stream& stream) { nghttp2_session_resume_data(session_, stream.id_); }

ssize_t Session::ReadAnswer(StreamId id, std::size_t size, std::uint32_t& flags) {
  Stream* const stream = Find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const std::size_t ready = std::min(size, stream->queued_bytes_);
  if (ready == 0 && !stream->finished_) return NGHTTP2_ERR_DEFERRED;
  flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream->finished_ && ready == stream->queued_bytes_) {
    flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const Trailers trailers(stream->status_);
    nghttp2_submit_trailer(session_, id, trailers.headers().data(), trailers.headers().size());
  }
  return static_cast<ssize_t>(ready);
}

int Session::SendAnswer(StreamId id, const std::uint8_t* frame_head, std::size_t size) {
  Stream* const stream = Find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  assert(out_ != nullptr && size <= stream->queued_bytes_ && size <= queued_answer_bytes_);
  if (out_->size() >= kProduceBytes) return NGHTTP2_ERR_WOULDBLOCK;
  out_->insert(out_->end(), frame_head, frame_head + kFrameHeader);
  stream->queued_bytes_ -= size;
  queued_answer_bytes_ -= size;
  while (size > 0) {
    WipedBytes& message = stream->outgoing_.front();
    const std::size_t taken = std::min(size, message.size() - stream->outgoing_sent_);
    char* const from = message.data() + stream->outgoing_sent_;
    out_->insert(out_->end(), from, from + taken);
    OPENSSL_cleanse(from, taken);
    stream->outgoing_sent_ += taken;
    size -= taken;
    if (stream->outgoing_sent_ < message.size()) continue;
    stream->outgoing_.erase(stream->outgoing_.begin());
    stream->outgoing_sent_ = 0;
  }
  return 0;
}

void Session::OnSent(const nghttp2_frame& frame) {
  const bool of_answer = frame.hd.type == NGHTTP2_HEADERS || frame.hd.type == NGHTTP2_DATA;
  if (!of_answer || (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  Stream* const stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->end_sent_ = true;
  if (!stream->has_ended_) answered_early_.push_back(stream->id_);
}

void Session::Reset(Stream& stream) {
  if (!std::exchange(stream.finished_, true)) ReleaseRequest(stream);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_CANCEL);
}

// The connection.

void Session::GoAway(std::uint32_t error_code) {
  last_accepted_ = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_accepted_, error_code, nullptr, 0);
  guard_.AllowIgnored(bounds::kMaxExpectedBytes);
}

}  // namespace tokend::rpc
